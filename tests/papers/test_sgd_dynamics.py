"""Theory against closed forms and tables, and simulated paths against theory."""

from __future__ import annotations

import math
import warnings

import numba
import numpy as np
import pytest
from scipy.integrate import quad, trapezoid
from scipy.stats import kstest, laplace, levy_stable, norm, t

from popinv.errors import ConfigError
from popinv_papers.sgd_dynamics import comparisons, finite_rates, theory
from popinv_papers.sgd_dynamics.simulation import (
    GradientNoise,
    double_well,
    draw,
    piecewise,
    quartic_maximum,
    sharp_maximum,
    simulate,
)

FOREVER = 10**9


@numba.njit
def _drawn(generator, kind, scale, index, balance, count):
    return np.array([draw(generator, kind, scale, index, balance) for _ in range(count)])


def sample_of(law: GradientNoise, generator: np.random.Generator, count: int) -> np.ndarray:
    """Return independent draws of a law, as the simulation draws them."""
    return _drawn(generator, *law.arguments, count)


# --- landscapes and noises ------------------------------------------------------------------------


def test_slopes_are_the_polynomials_and_linear_beyond():
    x = np.linspace(-1.4, 1.4, 57)
    np.testing.assert_allclose(double_well().slope(x), x**3 - x, atol=1e-14)
    inside = x[np.abs(x) < 1.3]
    np.testing.assert_allclose(quartic_maximum().slope(inside), inside**5 - inside**3, atol=1e-14)
    far = np.array([1.5, 2.0, 2.5, 3.0])
    np.testing.assert_allclose(np.diff(double_well().slope(far), 2), 0, atol=1e-12)
    # Continuous where pieces meet.
    for landscape, edge in ((double_well(), 1.5), (quartic_maximum(), 1.3)):
        for sign in (-1, 1):
            a, b = landscape.slope(np.array([sign * (edge - 1e-9), sign * (edge + 1e-9)]))
            assert a == pytest.approx(b, abs=1e-7)
    np.testing.assert_allclose(sharp_maximum(0.5, 2).slope(np.array([-1, 0, 1])), [0.5, -2, -2])


def test_three_wells_have_their_critical_points():
    landscape = comparisons.three_wells()
    np.testing.assert_allclose(landscape.slope(np.array([-2, -1.2, 0, 0.6, 1])), 0, atol=1e-14)
    breaks = landscape.breaks
    np.testing.assert_allclose(landscape.slope(breaks - 1e-9), landscape.slope(breaks), atol=1e-7)


@pytest.mark.parametrize(
    ("law", "peer"),
    [
        (GradientNoise("gaussian", 0.7), norm(scale=0.7)),
        (GradientNoise("laplace", 0.7), laplace(scale=0.7)),
        (GradientNoise("student", 0.7, 3.0), t(3.0, scale=0.7)),
        (GradientNoise("stable", 0.7, 1.5), levy_stable(1.5, 0.0, scale=0.7)),
    ],
    ids=lambda x: getattr(x, "kind", ""),
)
def test_noises_have_their_laws(law, peer):
    sample = sample_of(law, np.random.default_rng(0), 2000)
    assert kstest(sample, peer.cdf).pvalue > 0.01


def test_pareto_noise_has_its_tails():
    law = GradientNoise("pareto", 0.5, 1.5)
    sample = sample_of(law, np.random.default_rng(0), 100_000)
    for x in (0.5, 1.0, 5.0):
        for side in (sample > x, sample < -x):
            expected = 0.5 * (x / 0.5) ** -1.5
            assert side.mean() == pytest.approx(expected, abs=4 * math.sqrt(expected / 100_000))
    laws = law, GradientNoise("laplace"), GradientNoise("student", 1.0, 5.0)
    assert [each.a for each in laws] == [1.5, 2.0, 2.0]


# --- theory ---------------------------------------------------------------------------------------


def test_sticking_scales():
    # The time grows as eps^-1 log and as eps^-3/2.
    assert theory.sticking_exponent(2, 3) == pytest.approx(1.5)
    assert theory.sticking_exponent(1.5, 3) == pytest.approx(9 / 7)
    assert theory.sticking_exponent(2, 1) == theory.sticking_exponent(2, 0) == 1


def test_sticking_time_of_the_double_well():
    expected = {1e-1: 1.584, 1e-2: 2.735, 1e-3: 3.886, 1e-4: 5.038}
    for rate, value in expected.items():
        steps = rate * theory.double_well_exit_time(rate, 0.5, 1.0)
        assert steps == pytest.approx(value, abs=6e-4)


@pytest.mark.parametrize(
    ("right", "left", "y", "exact"),
    [
        (1, 0.5, 0, 0.81141),
        (1, 0.5, 1, 0.90770),
        (1, 0.5, -1, 0.31392),
        (0.5, 0.5, 0, 0.60033),
        (0.5, 0.5, 2, 0.83684),
        (0.2, 0.1, 0, 0.67637),
        (2, 0.5, 0, 0.94750),
        (2, 0.5, -2, 0.21919),
    ],
)
def test_sharp_maximum(right, left, y, exact):
    probability = theory.escape_probability_sharp_laplace(y, left, right)
    assert probability == pytest.approx(exact, abs=6e-6)


def test_a_symmetric_sharp_maximum_is_symmetric():
    for y in (0.3, 1.0, 4.0):
        up, down = (theory.escape_probability_sharp_laplace(s * y, 0.5, 0.5) for s in (1, -1))
        assert up + down == pytest.approx(1, abs=1e-12)


def test_heavy_escape_probabilities():
    assert theory.stable_constant(1.5) == pytest.approx(0.39894, abs=1e-5)
    assert theory.stable_constant(1.8) == pytest.approx(0.18323, abs=1e-5)
    for multiple, expected in ((0.3, 0.561), (1, 0.692), (3, 0.905), (10, 0.9885)):
        start = multiple * 0.1 * 1e-3 ** (1 / 3)
        probability = theory.escape_probability_heavy(start, 1e-3, 1.5, 0.1)
        assert probability == pytest.approx(expected, abs=5e-4)


def test_kramers_of_the_double_well():
    for rate, expected in ((0.15, 830), (0.1, 6594), (0.08, 28768)):
        steps = theory.kramers_exit_time(rate, 1.0, 0.25, 2.0, 1.0)
        assert steps == pytest.approx(expected, rel=1e-3)


def test_markov_rates():
    rates = theory.markov_rates([-2.0, 0.0, 1.0], [-1.2, 0.6], 1.5, scale=0.5)
    np.testing.assert_allclose(rates.sum(axis=1), 0, atol=1e-15)
    # Out of the middle: the jump's tails beyond either end, as in the exit time.
    exit_time = theory.heavy_exit_time(1.0, 1.5, 0.5, down=1.2, up=0.6)
    assert -rates[1, 1] == pytest.approx(1 / exit_time)
    # Over the middle basin into the third: between the jumps that end in it and beyond.
    assert rates[0, 2] == pytest.approx(0.5 * 0.5**1.5 * 2.6**-1.5)
    assert rates[0, 1] == pytest.approx(0.5 * 0.5**1.5 * (0.8**-1.5 - 2.6**-1.5))
    mirrored = theory.markov_rates([-1.0, 0.0, 2.0], [-0.6, 1.2], 1.5, scale=0.5)
    np.testing.assert_allclose(mirrored, rates[::-1, ::-1])


# --- simulation -----------------------------------------------------------------------------------


def test_a_path_is_the_recursion_written_out():
    law, rate = GradientNoise("laplace", 0.3), 0.05
    runs = simulate(double_well(), law, rate, 0.2, 40, 3, seed=5, stage="x")
    from popinv.seeds import generator

    for i in range(3):
        xi, x = sample_of(law, generator(5, "x", i), 40), 0.2
        for value in xi:
            x += rate * (value - (x**3 - x if abs(x) <= 1.5 else np.nan))
        assert runs.final[i] == pytest.approx(x, rel=1e-12)
    assert set(runs.side) == {0}
    # A path is the same, however many there are.
    more = simulate(double_well(), law, rate, 0.2, 40, 9, seed=5, stage="x")
    np.testing.assert_array_equal(more.final[:3], runs.final)


def test_paths_end_where_they_leave():
    runs = simulate(
        sharp_maximum(1, 1), GradientNoise("gaussian"), 0.1, 0.0, 10_000, 50, 1, "x", (-2.0, 2.0)
    )
    assert np.all(runs.side != 0)
    assert np.all(np.abs(runs.final) >= 2)
    assert np.all((runs.final > 0) == (runs.side > 0))
    assert runs.steps.max() < 10_000


def test_a_sharp_maximum_does_not_know_the_learning_rate():
    # The walk in units of the rate is the same: so are its paths, but for rounding.
    shares, landscape, law = [], sharp_maximum(0.5, 1), GradientNoise("laplace")
    for rate in (0.1, 0.001):
        bounds = (-70 * rate, 70 * rate)
        runs = simulate(landscape, law, rate, rate, FOREVER, 500, 3, "x", bounds)
        shares.append(runs.share_up(5).mean())
    assert abs(shares[0] - shares[1]) <= 0.01


# --- finite learning rates --------------------------------------------------------------------


LAWS = {
    "gaussian": GradientNoise("gaussian", 0.7),
    "laplace": GradientNoise("laplace", 0.7),
    "student": GradientNoise("student", 0.7, 1.5),
    "stable": GradientNoise("stable", 0.7, 1.5),
    "pareto": GradientNoise("pareto", 0.7, 1.5),
    "unbalanced": GradientNoise("pareto", 0.7, 1.8, 0.8),
}


@pytest.mark.parametrize("name", LAWS)
def test_characteristic_functions_are_those_of_draws(name):
    xi = sample_of(LAWS[name], np.random.default_rng(0), 100_000)
    t = np.array([0.05, 0.3, 1.0, 4.0])
    found = finite_rates.characteristic(LAWS[name], t)
    drawn = np.exp(1j * t[:, None] * xi).mean(axis=1)
    # A mean of 100,000 numbers of size 1: 4 standard errors.
    assert np.abs(found - drawn).max() < 4 / math.sqrt(100_000)


def test_pareto_noise_has_its_characteristic_function_by_quadrature():
    for alpha, balance in ((1.3, 0.5), (1.8, 0.9)):
        law = GradientNoise("pareto", 1.0, alpha, balance)
        for at in (0.2, 2.0, 9.0):
            tails = [
                quad(lambda x, a=alpha: a * x ** (-a - 1), 1, np.inf, weight=w, wvar=at)[0]
                for w in ("cos", "sin")
            ]
            mean = (2 * balance - 1) * alpha / (alpha - 1)
            expected = (tails[0] + 1j * (2 * balance - 1) * tails[1]) * np.exp(-1j * at * mean)
            found = finite_rates.characteristic(law, np.array([at]))[0]
            assert found == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("rate", [0.2, 0.01, 1e-3])
def test_escape_from_the_linear_recursion_in_closed_form(rate):
    # Sums of normal and of stable noise are so again, at any rate.
    for x in (-0.4, 0.1, 1.0):
        kappa = 1.7
        deviation = rate * 0.7 / math.sqrt((1 + rate * kappa) ** 2 - 1)
        found = finite_rates.escape_probability(x * deviation, rate, LAWS["gaussian"], kappa)
        assert found == pytest.approx(norm.cdf(x), abs=1e-6)
        width = rate * 0.7 * ((1 + rate * kappa) ** 1.5 - 1) ** (-1 / 1.5)
        found = finite_rates.escape_probability(x * width, rate, LAWS["stable"], kappa)
        assert found == pytest.approx(levy_stable.cdf(x, 1.5, 0), abs=1e-5)


def test_the_stable_law_is_the_limit_and_the_first_term_its_distance():
    for alpha in (1.3, 1.5):
        for multiple in (0.3, 1.0, 5.0):
            start = multiple * 0.2 * 1e-8 ** (1 - 1 / alpha)
            limit = theory.escape_probability_heavy(start, 1e-8, alpha, 0.2)
            found = finite_rates.escape_probability(
                start, 1e-8, GradientNoise("pareto", 0.2, alpha)
            )
            assert found == pytest.approx(limit, abs=2e-4)
    # The characteristic function of the limit, with the first term, at a small rate.
    alpha, rate, scale = 1.8, 1e-6, 1.0
    width = scale * rate ** (1 - 1 / alpha)
    width *= (alpha * theory.stable_constant(alpha)) ** (-1 / alpha)
    c = finite_rates.finite_rate_term(rate, alpha)
    u = np.linspace(1e-6, 12, 4001)
    x = 1.3
    integrand = np.sin(u * x) / u * np.exp(-(u**alpha) + c * u**2 * (u < 1 / c))
    expected = 0.5 + trapezoid(integrand, u) / math.pi
    found = finite_rates.escape_probability(x * width, rate, GradientNoise("pareto", scale, alpha))
    assert found == pytest.approx(expected, abs=2e-3)
    assert abs(theory.escape_probability_heavy(x * width, rate, alpha, scale) - found) > 0.01


@pytest.mark.parametrize(("alpha", "found"), [(1.5, 0.908), (1.8, 0.910)])
def test_the_recursion_explains_what_was_simulated(alpha, found):
    """Shares of paths were measured elsewhere at rate 1e-3, to about 0.005."""
    law = GradientNoise("pareto", 0.03, alpha)
    start = 3 * 0.03 * 1e-3 ** (1 - 1 / alpha)
    assert finite_rates.escape_probability(start, 1e-3, law) == pytest.approx(found, abs=0.01)


@pytest.mark.parametrize("name", [name for name in LAWS if name != "stable"])
def test_distribution_functions_and_their_integrals(name):
    law = LAWS[name]
    x = np.array([-3.0, -0.6, -0.2, 0.5, 4.0])
    below, area = finite_rates.distribution(law, x)
    xi = sample_of(law, np.random.default_rng(0), 50_000)
    drawn = np.array([(xi <= value).mean() for value in x])
    np.testing.assert_allclose(below, drawn, atol=4 * 0.5 / math.sqrt(50_000))
    for a, b, difference in zip(x, x[1:], np.diff(area), strict=False):
        grid = np.linspace(a, b, 20_001)
        between = trapezoid(finite_rates.distribution(law, grid)[0], grid)
        assert difference == pytest.approx(between, abs=1e-4)
    # Far down the integral vanishes.
    assert finite_rates.distribution(law, np.array([-1e9]))[1][0] < 1e-3


def exit_probability(landscape, law, rate, start, within, spacing=0.02) -> float:
    """Return the probability h to leave a finite interval (low, high) upwards.

    With m(x) = x - rate f'(x) and the density q of rate xi, it solves

        h(x) = P(m(x) + rate xi >= high) + int h(y) q(y - m(x)) dy.
    """
    nodes, matrix = finite_rates._operator(landscape, law, rate, within, spacing)
    mean = nodes - rate * landscape.slope(nodes)
    beyond = 1 - finite_rates.distribution(law, (within[1] - mean) / rate)[0]
    return float(np.interp(start, nodes, np.linalg.solve(np.eye(len(nodes)) - matrix, beyond)))


def test_the_integral_equation_is_kramers_at_small_noise():
    well = double_well()
    for rate in (0.1, 0.15):
        steps = finite_rates.mean_exit_steps(
            well, GradientNoise("gaussian"), rate, 1.0, (-0.5, np.inf), 0.01
        )
        kramers = theory.kramers_exit_time(rate, 1.0, 0.25, 2.0, 1.0)
        assert steps == pytest.approx(kramers, rel=0.08)
    up = exit_probability(well, GradientNoise("gaussian"), 0.1, 0.0, (-0.7, 0.7), 0.01)
    assert up == pytest.approx(0.5, abs=1e-9)
    away = exit_probability(well, GradientNoise("gaussian"), 0.1, 0.1, (-0.7, 0.7), 0.01)
    assert away == pytest.approx(norm.cdf(0.1 / math.sqrt(0.05)), abs=0.015)


def test_the_integral_equation_agrees_with_paths():
    for name, start in (("student", 0.2), ("unbalanced", 0.1), ("laplace", 0.3)):
        law, ends = LAWS[name], (-0.5, 0.8)
        runs = simulate(double_well(), law, 0.1, start, FOREVER, 4000, 1, name, ends)
        steps = finite_rates.mean_exit_steps(double_well(), law, 0.1, start, ends)
        up = exit_probability(double_well(), law, 0.1, start, ends)
        error = runs.steps.std() / math.sqrt(4000)
        assert steps == pytest.approx(runs.steps.mean(), abs=4 * error)
        assert up == pytest.approx((runs.side > 0).mean(), abs=0.025)


def test_unbalanced_noise_leaves_by_the_integral_equation_as_by_the_recursion():
    law, rate = GradientNoise("pareto", 0.03, 1.5, 0.8), 0.05
    for start in (-0.01, 0.02):
        up = exit_probability(double_well(), law, rate, start, (-0.7, 0.7), 0.002)
        assert up == pytest.approx(finite_rates.escape_probability(start, rate, law), abs=0.01)


def test_one_jump_leaves_a_heavy_tailed_well_the_sooner_the_top_is_the_end():
    """Changes of basin follow the formula; a first passage of the top comes 10 % sooner."""
    law, rate = GradientNoise("pareto", 0.1, 1.5), 0.1
    formula = theory.heavy_exit_time(rate, 1.5, 0.1, down=1.0)
    beyond, top = (
        finite_rates.mean_exit_steps(double_well(), law, rate, 1.0, (end, np.inf)) / formula
        for end in (-0.5, 0.0)
    )
    assert beyond == pytest.approx(0.957, abs=0.005)
    assert top == pytest.approx(0.880, abs=0.005)


def test_paths_that_have_not_left_are_not_averaged():
    runs = simulate(double_well(), GradientNoise("gaussian"), 0.01, 0.0, 3, 10, 1, "x", (-1.0, 1.0))
    for numbers in (runs.mean_steps, runs.share_up):
        with pytest.raises(ValueError, match="10 paths have not left"):
            numbers(5)


def test_batches_are_means_of_consecutive_paths():
    runs = simulate(
        double_well(), GradientNoise("gaussian"), 0.1, 0.1, FOREVER, 20, 1, "x", (-0.5, 0.5)
    )
    np.testing.assert_allclose(runs.mean_steps(5), runs.steps.reshape(5, 4).mean(axis=1))
    np.testing.assert_allclose(runs.share_up(5), (runs.side > 0).reshape(5, 4).mean(axis=1))
    inside = runs.share_ending(0.5, np.inf, 5)
    np.testing.assert_allclose(inside, runs.share_up(5))


def test_unbalanced_noise_has_mean_zero_and_its_tails():
    law = GradientNoise("pareto", 0.5, 3.5, 0.8)
    sample = sample_of(law, np.random.default_rng(0), 200_000)
    assert abs(sample.mean()) < 4 * sample.std() / math.sqrt(200_000)
    assert sample.var() == pytest.approx(0.5**2 * 3.5 / 1.5 - law.shift**2, rel=0.05)
    assert (sample + law.shift > 0).mean() == pytest.approx(0.8, abs=0.005)


# --- bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: GradientNoise("cauchy"), "allowed: gaussian"),
        (lambda: GradientNoise("pareto", 1.0, 1.0), "above 1"),
        (lambda: GradientNoise("stable", 1.0, 2.0), "below 2"),
        (lambda: GradientNoise("gaussian", -1.0), "must be positive"),
        (lambda: piecewise([0], [[1], [1], [1]]), "divide the line into 2 pieces"),
        (lambda: piecewise([1, 0], [[1], [1], [1]]), "must ascend"),
        (lambda: piecewise([0], [[0, 0, 0, 1], [1]]), "must be linear"),
        (lambda: sharp_maximum(-1, 1), "must be positive"),
        (lambda: theory.stable_constant(2.5), "between 1 and 2"),
        (lambda: theory.markov_rates([0, 1], [2], 1.5), "must alternate"),
        (lambda: GradientNoise("gaussian", 1.0, balance=0.8), "are symmetric"),
        (lambda: GradientNoise("pareto", 1.0, 1.5, 1.2), "from 0 to 1"),
        (
            lambda: finite_rates.escape_probability(0.0, 0.1, GradientNoise("pareto", 1.0, 2.0)),
            "is an integer",
        ),
        (
            lambda: finite_rates.escape_probability(0.0, -0.1, GradientNoise("gaussian")),
            "must be positive",
        ),
        (
            lambda: finite_rates.mean_exit_steps(
                double_well(), GradientNoise("stable", 1.0, 1.5), 0.1, 0.0, (-1, 1)
            ),
            "no distribution function",
        ),
        (
            lambda: finite_rates.mean_exit_steps(
                double_well(), GradientNoise("gaussian"), 0.1, 0.0, (-np.inf, np.inf)
            ),
            "have a finite end",
        ),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ConfigError, match=message):
        call()


def test_a_learning_rate_that_overshoots_warns():
    with pytest.warns(RuntimeWarning, match="overshoot"):
        simulate(double_well(), GradientNoise("gaussian"), 0.5, 0.0, 3, 1, 0, "x")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        simulate(double_well(), GradientNoise("gaussian"), 0.01, 0.0, 3, 1, 0, "x")
