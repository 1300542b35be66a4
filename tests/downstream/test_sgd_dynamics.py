"""Theory against closed forms and tables, and simulated paths against theory."""

from __future__ import annotations

import json
import math
import warnings

import numpy as np
import pytest
from scipy.stats import kstest, laplace, levy_stable, norm, t

from popinv.downstream.metrics import flat
from popinv.downstream.sgd_dynamics import figures, problem, slices, study, theory
from popinv.downstream.sgd_dynamics.landscapes import (
    double_well,
    piecewise,
    quartic_maximum,
    sharp_maximum,
)
from popinv.downstream.sgd_dynamics.noises import noise
from popinv.downstream.sgd_dynamics.simulation import simulate
from popinv.errors import ConfigError

FOREVER = 10**9


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
    landscape = problem.three_wells()
    np.testing.assert_allclose(landscape.slope(np.array([-2, -1.2, 0, 0.6, 1])), 0, atol=1e-14)
    breaks = landscape.breaks
    np.testing.assert_allclose(landscape.slope(breaks - 1e-9), landscape.slope(breaks), atol=1e-7)


@pytest.mark.parametrize(
    ("law", "peer"),
    [
        (noise("gaussian", 0.7), norm(scale=0.7)),
        (noise("laplace", 0.7), laplace(scale=0.7)),
        (noise("student", 0.7, 3.0), t(3.0, scale=0.7)),
        (noise("stable", 0.7, 1.5), levy_stable(1.5, 0.0, scale=0.7)),
    ],
    ids=lambda x: getattr(x, "kind", ""),
)
def test_noises_have_their_laws(law, peer):
    sample = law.sample(np.random.default_rng(0), 2000)
    assert kstest(sample, peer.cdf).pvalue > 0.01


def test_pareto_noise_has_its_tails():
    law = noise("pareto", 0.5, 1.5)
    sample = law.sample(np.random.default_rng(0), 100_000)
    for x in (0.5, 1.0, 5.0):
        for side in (sample > x, sample < -x):
            expected = 0.5 * (x / 0.5) ** -1.5
            assert side.mean() == pytest.approx(expected, abs=4 * math.sqrt(expected / 100_000))
    assert law.variance == np.inf
    assert noise("pareto", 1.0, 3.0).variance == pytest.approx(3.0)
    assert (law.a, noise("laplace").a, noise("student", 1.0, 5.0).a) == (1.5, 2.0, 2.0)


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
    law, rate = noise("laplace", 0.3), 0.05
    runs = simulate(double_well(), law, rate, 0.2, 40, 3, seed=5, stage="x")
    from popinv.seeds import generator

    for i in range(3):
        xi, x = law.sample(generator(5, "x", i), 40), 0.2
        for value in xi:
            x += rate * (value - (x**3 - x if abs(x) <= 1.5 else np.nan))
        assert runs.final[i] == pytest.approx(x, rel=1e-12)
    assert set(runs.side) == {0}
    # A path is the same, however many there are.
    more = simulate(double_well(), law, rate, 0.2, 40, 9, seed=5, stage="x")
    np.testing.assert_array_equal(more.final[:3], runs.final)


def test_paths_end_where_they_leave():
    runs = simulate(
        sharp_maximum(1, 1), noise("gaussian"), 0.1, 0.0, 10_000, 50, 1, "x", (-2.0, 2.0)
    )
    assert np.all(runs.side != 0)
    assert np.all(np.abs(runs.final) >= 2)
    assert np.all((runs.final > 0) == (runs.side > 0))
    assert runs.steps.max() < 10_000


@pytest.mark.parametrize(
    ("part", "size"),
    [
        (problem.sticking_times, problem.Size(300, 0, (1e-1, 1e-2), (), ())),
        (problem.quadratic_escapes, problem.Size(400, 0, (), (), ())),
        (problem.thresholds, problem.Size(300, 0, (), (), ())),
        (problem.sharp_escapes, problem.Size(0, 1500, (), (), ())),
        (problem.kramers, problem.Size(500, 0, (), (), (0.15,))),
        (problem.markov_chain, problem.Size(400, 0, (), (), ())),
    ],
    ids=lambda x: getattr(x, "__name__", ""),
)
def test_theory_holds_in_simulation(part, size):
    comparisons = list(part(size, seed=2))
    assert comparisons
    for comparison in comparisons:
        assert comparison.agrees, comparison


def test_a_sharp_maximum_does_not_know_the_learning_rate():
    # The walk in units of the rate is the same: so are its paths, but for rounding.
    shares = []
    for rate in (0.1, 0.001):
        bounds = (-70 * rate, 70 * rate)
        runs = simulate(
            sharp_maximum(0.5, 1), noise("laplace"), rate, rate, FOREVER, 500, 3, "x", bounds
        )
        shares.append(runs.share_up[0])
    assert abs(shares[0] - shares[1]) <= 0.01


def test_comparisons_become_numbers_claims_and_a_picture():
    comparisons = [
        problem.Comparison("a", "words", 1.0, 1.1, 0.05, 0.0),
        problem.Comparison("sticking_slope_quartic", "slope", -1.5, -2.0, 0.01, 0.03),
    ]
    numbers = problem.metrics(comparisons)
    assert numbers["a_simulated"] == 1.1
    assert numbers["sticking_slope_quartic"] == -2.0
    assert numbers["comparisons_agreeing"] == 1
    json.dumps(flat(numbers))
    assert [claim.holds for claim in problem.claims(comparisons)] == [True, False]
    assert figures.draw_comparisons(problem.result_dataset(comparisons)).axes


# --- slices ---------------------------------------------------------------------------------------


def noisy(landscape, deviation: float):
    """Return a stochastic slope with a known landscape and normal noise."""

    def slope(x: float, k: int) -> float:
        rng = np.random.default_rng(abs(hash((k, round(x, 9)))) % 2**32)
        return float(landscape.slope(np.array(x))) + deviation * rng.standard_normal()

    return slope


def test_critical_points_of_a_known_landscape_are_found():
    measured = slices.slice_of(noisy(double_well(), 0.1), np.linspace(-1.5, 1.5, 31), 100, 2000)
    assert [point.is_maximum for point in measured.points] == [False, True, False]
    np.testing.assert_allclose([p.place for p in measured.points], [-1, 0, 1], atol=0.03)
    np.testing.assert_allclose([p.curvature for p in measured.points], [2, -1, 2], atol=0.6)
    for point in measured.points:
        assert point.deviation == pytest.approx(0.1, rel=0.1)
    lowest = measured.places[np.argmin(measured.height)]
    assert abs(abs(lowest) - 1) < 0.15
    assert figures.draw_slices({"restart": measured}).axes


def shared_noise(landscape, deviation: float):
    """Return a stochastic slope whose noise is the same at every place, as a study's nearly is."""

    def slope(x: float, k: int) -> float:
        rng = np.random.default_rng(k)
        return float(landscape.slope(np.array(x))) + deviation * rng.standard_normal()

    return slope


def test_a_zero_is_found_where_no_slope_next_to_it_is_clear():
    flat = piecewise([], [[0.01, 0.1]])
    measured = slices.slice_of(shared_noise(flat, 0.2), np.linspace(-1, 1, 21), 100, 200)
    (point,) = measured.points
    assert point.curvature == pytest.approx(0.1)
    # The standard error of the mean slope is about 0.02.
    assert point.place_error == pytest.approx(0.2, rel=0.3)
    assert abs(point.place + 0.1) < 4 * point.place_error
    assert not point.is_maximum


@pytest.mark.parametrize(
    ("rise", "curvature", "said"),
    [
        (0.0, 0.01, "nowhere told from zero"),
        (2.0, 0.1, "rises all along"),
        (-2.0, 0.1, "falls all along"),
        (0.2, 0.2, "rises from"),
    ],
)
def test_a_line_without_a_critical_point_says_why(rise, curvature, said):
    line = piecewise([], [[rise, curvature]])
    measured = slices.slice_of(shared_noise(line, 0.2), np.linspace(-1, 1, 11), 16, 60)
    assert not measured.points
    assert said in study._without_points(measured)
    assert figures.draw_slices({"weakest": measured}).axes


def test_sticking_and_floor_are_predicted():
    slope = noisy(piecewise([], [[0, -2.0]]), 0.5)
    point = slices.CriticalPoint(0.0, -2.0, 0.5, 4.0, 0.4)
    checked = slices.check_by_running(slope, point, 0.05, 200)
    assert checked["kind"] == "maximum"
    assert abs(checked["run_steps"] - checked["predicted_steps"]) < max(
        4 * checked["run_steps_error"], 0.15 * checked["predicted_steps"]
    )
    assert abs(checked["run_share_up"] - 0.5) < 0.15
    slope = noisy(piecewise([], [[0, 2.0]]), 0.5)
    checked = slices.check_by_running(
        slope, slices.CriticalPoint(0.0, 2.0, 0.5, 4.0, 0.4), 0.2, 200
    )
    assert checked["kind"] == "minimum"
    assert abs(checked["run_floor"] / checked["predicted_floor"] - 1) < 0.2


def test_no_draw_is_used_twice():
    # At this rate a path takes 4000 steps to its floor.
    used = []
    slope = noisy(piecewise([], [[0, 2.0]]), 0.5)

    def watched(t: float, k: int) -> float:
        used.append(k)
        return slope(t, k)

    slices.check_by_running(watched, slices.CriticalPoint(0.0, 2.0, 0.5, 4.0, 0.4), 1e-3, 3)
    assert len(used) == len(set(used)) == 3 * 4000


def test_hill_finds_the_index_of_a_power_tail():
    for index in (1.5, 3.0):
        sample = noise("pareto", 1.0, index).sample(np.random.default_rng(1), 20_000)
        tail_index, error = slices.hill(sample)
        assert abs(tail_index - index) < 4 * error
    light, _ = slices.hill(np.random.default_rng(1).standard_normal(20_000), 0.01)
    assert light > 5


# --- bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: noise("cauchy"), "allowed: gaussian"),
        (lambda: noise("pareto", 1.0, 1.0), "above 1"),
        (lambda: noise("stable", 1.0, 2.0), "below 2"),
        (lambda: noise("gaussian", -1.0), "must be positive"),
        (lambda: piecewise([0], [[1], [1], [1]]), "divide the line into 2 pieces"),
        (lambda: piecewise([1, 0], [[1], [1], [1]]), "must ascend"),
        (lambda: piecewise([0], [[0, 0, 0, 1], [1]]), "must be linear"),
        (lambda: sharp_maximum(-1, 1), "must be positive"),
        (lambda: theory.stable_constant(2.5), "between 1 and 2"),
        (lambda: theory.markov_rates([0, 1], [2], 1.5), "must alternate"),
        (lambda: slices.hill(np.ones(20)), "at least 5"),
        (
            lambda: slices.check_by_running(
                lambda x, k: 0.0, slices.CriticalPoint(0, 1, 1, 2, 1), 1.5, 5
            ),
            "between 0 and 1",
        ),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ConfigError, match=message):
        call()


def test_a_learning_rate_that_overshoots_warns():
    with pytest.warns(RuntimeWarning, match="overshoot"):
        simulate(double_well(), noise("gaussian"), 0.5, 0.0, 3, 1, 0, "x")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        simulate(double_well(), noise("gaussian"), 0.01, 0.0, 3, 1, 0, "x")
