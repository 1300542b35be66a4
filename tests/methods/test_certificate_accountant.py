"""Guarantees and their costs: tables, closed forms, inequalities."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.optimize import minimize, minimize_scalar

from popinv.errors import ConfigError
from popinv.methods import privacy
from popinv.methods.certificate.accountant import (
    FORMS,
    Setting,
    sequential_epochs,
    worst_counts,
)
from popinv_papers.certified_unlearning import accounts
from popinv_papers.certified_unlearning.accounts import DescentToDelete, Langevin

N = 11_264
DELTA = 1 / N
PUBLISHED_CODE = ["paper", *["exact"] * 99]


def mnist(batch: int, n: int = N, smooth: float | None = None, radius: float = 100.0) -> Setting:
    """Return the constants of threes against eights."""
    strong = 1e-6 * n
    smooth = smooth or 0.25 + strong
    return Setting(n, batch, 1 / smooth, strong, smooth, 1.0, radius)


def small(batch: int = 4, **changes) -> Setting:
    return Setting(**{
        "n": 12, "batch": batch, "rate": 0.8, "strong": 0.1, "smooth": 1.2, "lipschitz": 1.0,
    } | changes)  # fmt: skip


# --- numbers --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("batch", "gap"),
    [(32, ".239222"), (64, ".119662"), (128, ".0610688"), (256, ".0349263"), (512, ".0240861"),
     (N, ".0157632")],
)  # fmt: skip
def test_gap_of_one_record(batch, gap):
    assert mnist(batch).gap() == pytest.approx(
        float(gap), rel=10 ** -(len(gap.lstrip(".0")) - 1) / 2
    )


def test_epsilon_of_threes_against_eights():
    setting = mnist(128)
    gap = setting.gap()
    a = setting.coefficient(gap, 0.03, 1)
    assert round(privacy.epsilon(a, DELTA), 5) == 0.09321
    assert round(setting.epsilon(DELTA, gap, 0.03, 1, "exact"), 5) == 0.02703
    setting = mnist(512)
    gap = setting.gap()
    assert round(setting.epsilon(DELTA, gap, 0.03, 1), 5) == 0.68440
    assert round(setting.epsilon(DELTA, gap, 0.03, 1, "exact"), 5) == 0.21223
    setting = mnist(N)
    gap = setting.gap()
    assert round(setting.epsilon(DELTA, gap, 0.03, 1), 5) == 1.14313
    assert round(setting.epsilon(DELTA, gap, 0.03, 4), 5) == 0.99798
    assert round(setting.epsilon(DELTA, gap, 0.03, 4, "exact"), 5) == 0.52549


@pytest.mark.parametrize(
    ("batch", "learnt", "sigmas"),
    [
        (128, 30, (0.0791, 0.0396, 0.00805, 0.00410, 0.00213, 0.000933)),
        (512, 30, (0.572, 0.286, 0.0582, 0.0296, 0.0154, 0.00675)),
        (N, 3000, (0.944, 0.473, 0.0961, 0.0490, 0.0254, 0.0111)),
    ],
)
def test_noise_for_one_epoch_before_convergence(batch, learnt, sigmas):
    setting = mnist(batch)
    for epsilon, sigma in zip((0.05, 0.1, 0.5, 1, 2, 5), sigmas, strict=True):
        needed = setting.sigma_before(epsilon, DELTA, learnt, 1)
        # To three digits; those were found by a minimiser that may stop early, here at 2.125.
        unit = 10.0 ** (math.floor(math.log10(sigma)) - 2)
        assert abs(needed - sigma) < 0.55 * unit
        total = setting.coefficient_before(learnt, needed, 1)
        assert total == pytest.approx(privacy.joined_coefficient(epsilon, DELTA))


def test_noise_for_one_epoch_after_convergence():
    setting = mnist(N)
    sigmas = [setting.sigma_for(e, DELTA, setting.gap(), 1) for e in (0.05, 0.1, 0.5, 1, 2, 5)]
    assert [float(f"{s:.3g}") for s in sigmas] == [0.667, 0.334, 0.0675, 0.0342, 0.0175, 0.00746]


@pytest.mark.parametrize(
    ("sigma", "totals"),
    [
        (0.01, (100, 200, 601, 10528)),
        (0.05, (100, 200, 401, 7026)),
        (0.1, (100, 101, 302, 5525)),
        (0.2, (100, 101, 301, 4171)),
        (0.5, (100, 100, 201, 2614)),
        (1.0, (100, 100, 125, 1771)),
    ],
)
def test_epochs_of_a_hundred_requests(sigma, totals):
    # What the authors' experiments have stored, at epsilon = 0.01.
    for batch, total in zip((32, 128, 512, N), totals, strict=True):
        setting = mnist(batch)
        gaps = [setting.gap()] * 100
        epochs, carried = sequential_epochs(setting, 0.01, DELTA, sigma, gaps, PUBLISHED_CODE)
        assert sum(epochs) == total
        bound = setting.gap() / (1 - setting.shrunk(1.0, min(epochs)))
        assert max(carried) <= bound * (1 + 1e-12)


def test_first_and_last_epochs_of_a_hundred_requests():
    setting = mnist(N)
    gaps = [setting.gap()] * 100
    for sigma, ends in ((0.01, (133, 105)), (0.05, (97, 70)), (1.0, (29, 17))):
        epochs, _ = sequential_epochs(setting, 0.01, DELTA, sigma, gaps, PUBLISHED_CODE)
        assert (epochs[0], epochs[-1]) == ends


def test_epochs_by_form():
    setting = mnist(N)
    gaps = [setting.gap()] * 100
    for forms, total in (("exact", 886), ("paper", 1786), (PUBLISHED_CODE, 887)):
        assert sum(sequential_epochs(setting, 1.0, DELTA, 0.03, gaps, forms)[0]) == total


def test_retraining_in_the_same_currency():
    setting = mnist(N)
    assert setting.epochs_for(1.0, DELTA, setting.widest, 0.03) == 219
    assert setting.epochs_for(0.01, DELTA, setting.widest, 0.03) == 323
    assert mnist(128).epochs_for(1.0, DELTA, 200.0, 0.03) == 3


@pytest.mark.parametrize(
    ("n", "smooth", "dimension", "total"),
    [(11_982, 0.1947006, 784, 9118), (11_982, None, 784, 12_476), (10_000, None, 512, 14_768)],
)
def test_steps_of_descent_to_delete(n, smooth, dimension, total):
    epochs = DescentToDelete(mnist(n, n, smooth), dimension).steps(1.0, 1 / n, 0.03, 100)
    assert sum(epochs) == total
    assert epochs == sorted(epochs)


@pytest.mark.parametrize(("smooth", "total"), [(0.1947006, 8739), (None, 11_756)])
def test_epochs_of_langevin_unlearning(smooth, total):
    n = 11_982
    assert sum(Langevin(mnist(n, n, smooth), 10).epochs(1.0, 1 / n, 0.03, 10)) == total


def test_noise_of_langevin_unlearning():
    langevin = Langevin(mnist(11_982, 11_982))
    sigmas = [langevin.sigma_for(e, 1 / 11_982, 1) for e in (0.05, 0.1, 0.5, 1, 2, 5)]
    assert sigmas == pytest.approx([0.1872, 0.094, 0.019, 0.0096, 0.0049, 0.0021], rel=0.02)


def test_noise_of_descent_to_delete_hides_what_is_left_of_a_record():
    # Two published points that are Delta apart, Delta = 8 M gamma^I / (m n (1 - gamma^I)), with
    # normal noise: the divergence of order a is a Delta^2 / (2 sigma^2).
    setting = mnist(N)
    gamma = 0.25 / (0.25 + 2 * setting.strong)
    for steps in (1, 5):
        apart = 8 * gamma**steps / (setting.strong * N * (1 - gamma**steps))
        sigma = DescentToDelete(setting, 784).sigma_secret(1.0, DELTA, steps)
        assert privacy.epsilon(apart**2 / (2 * sigma**2), DELTA) == pytest.approx(1.0)


# --- closed forms ---------------------------------------------------------------------------------


@pytest.mark.parametrize("a", [1e-6, 1e-3, 0.05, 2.0])
@pytest.mark.parametrize("delta", [0.1, 1e-5])
def test_closed_forms_are_the_minimum(a, delta):
    ell = math.log(1 / delta)
    for inverse, bound in (
        (privacy.coefficient, lambda order: a * order),
        (
            privacy.joined_coefficient,
            lambda order: (order - 0.5) / (order - 1) * 2 * order * a,
        ),
    ):
        least = minimize_scalar(
            lambda x, bound=bound: bound(1 + math.exp(x)) + ell / math.exp(x),
            bounds=(-10, 20), method="bounded", options={"xatol": 1e-10},
        )  # fmt: skip
        assert inverse(least.fun, delta) == pytest.approx(a, rel=1e-6)
    assert privacy.coefficient(privacy.epsilon(a, delta), delta) == pytest.approx(a)


@pytest.mark.parametrize(
    ("form", "strong"),
    [
        ("paper", 0.0),
        ("paper", 0.1),
        ("exact", 1e-9),
        ("exact", 0.3),
        ("tight", 0.0),
        ("tight", 0.3),
    ],
)
@pytest.mark.parametrize("batch", [1, 4, 12])
def test_epochs_and_noise_invert_the_guarantee(form, strong, batch):
    setting = small(batch, strong=strong)
    for gap in (0.01, 0.3, 7.0):
        for epsilon in (1e-3, 0.4, 20.0):
            sigma = setting.sigma_for(epsilon, 1e-3, gap, 7, form)
            assert setting.epsilon(1e-3, gap, sigma, 7, form) == pytest.approx(epsilon)
            # By counting up from 1; a little more or less noise, since 7 is the limit itself.
            for slightly, expected in ((1 + 1e-9, 7), (1 - 1e-9, 8)):
                counted = next(
                    k
                    for k in range(1, 20)
                    if setting.epsilon(1e-3, gap, slightly * sigma, k, form) <= epsilon
                )
                epochs = setting.epochs_for(epsilon, 1e-3, gap, slightly * sigma, form)
                assert epochs == counted == expected


def test_normal_laws_leave_nothing_to_gain():
    # Two points a gap apart under w <- c w + N(0, 2 eta sigma^2): normal laws of equal variance.
    setting, sigma, gap = small(), 0.7, 0.4
    c = setting.contraction
    for epochs in (1, 2, 9):
        mean, variance = gap, 0.0
        for _ in range(epochs * setting.batches):
            mean, variance = c * mean, c**2 * variance + 2 * setting.rate * sigma**2
        divergence_of_order_one = mean**2 / (2 * variance)
        coefficients = [setting.coefficient(gap, sigma, epochs, form) for form in FORMS]
        assert coefficients[2] == pytest.approx(divergence_of_order_one)
        assert coefficients[1] == pytest.approx(2 * divergence_of_order_one)
        assert coefficients[0] >= coefficients[1] * (1 - 1e-12)


def test_forms_agree_where_they_should():
    one = small(12)
    assert one.decay(1, "exact") == pytest.approx(one.decay(1, "paper"))
    for convex in (small(strong=0.0), small(strong=1e-12)):
        assert convex.decay(5, "exact") == pytest.approx(1 / 15)
    assert small(strong=0.0).decay(5, "paper") == 1 / 15


def test_convex_example_of_the_paper():
    # 2 R = 10, b = 128, eta = M = 1: the gap is the diameter from T = 640 on.
    setting = Setting(1280, 128, 1.0, 0.0, 1.0, 1.0, radius=5.0)
    assert setting.gap(epochs=639) == pytest.approx(2 * 639 / 128)
    assert setting.gap(epochs=640) == setting.gap(epochs=10_000) == setting.gap() == 10.0
    assert setting.coefficient(10.0, 0.5, 3) == pytest.approx(100 / (2 * 0.25) / 30)


def test_epsilon_falls_with_epochs_and_noise():
    setting = small()
    gap = setting.gap()
    for form in FORMS:
        by_epochs = [setting.epsilon(1e-3, gap, 0.1, k, form) for k in range(1, 9)]
        by_noise = [setting.epsilon(1e-3, gap, s, 2, form) for s in (0.1, 0.2, 0.4)]
        assert by_epochs == sorted(by_epochs, reverse=True)
        assert by_noise == sorted(by_noise, reverse=True)


# --- gaps -----------------------------------------------------------------------------------------


def recursion(setting: Setting, counts, epochs: int) -> float:
    """Follow the gap iteration by iteration."""
    gap = 0.0
    for _ in range(epochs):
        for count in counts:
            gap = (
                setting.contraction * gap
                + 2 * setting.rate * setting.lipschitz * count / setting.batch
            )
    return gap


@pytest.mark.parametrize("counts", [(1, 0, 0), (0, 0, 1), (2, 0, 3), (4, 4, 4)])
def test_gap_of_records_by_batch(counts):
    setting = small()
    for epochs in (1, 2, 30):
        assert setting.gap_of(counts, epochs) == pytest.approx(recursion(setting, counts, epochs))
    assert setting.gap_of(counts) == pytest.approx(recursion(setting, counts, 400))
    assert small(strong=0.0).gap_of(counts, 7) == pytest.approx(
        recursion(small(strong=0.0), counts, 7)
    )


def test_without_any_memory_one_iteration_is_enough():
    # eta m = 1: a step ends at the same place from wherever it starts.
    setting = small(12, rate=1.0, strong=1.0, smooth=1.0)
    assert setting.contraction == 0
    assert setting.gap() == setting.gap_of([1]) == pytest.approx(2 / 12)
    assert setting.epochs_for(1e-3, 1e-3, 0.2, 1e-6) == 1
    assert setting.epsilon(1e-3, 0.2, 1e-6, 1) == 0


def test_a_single_record_is_a_whole_data_set():
    # One step of weight eta 2 M, again in every epoch, each shrunk by c.
    one = small(1, n=1)
    assert one.gap() == pytest.approx(2 * 0.8 / (1 - one.contraction))


def test_an_empty_place_halves_the_gap():
    assert small(emptied=True).gap() == pytest.approx(small().gap() / 2)


def test_worst_places_are_the_last_batches():
    setting = small()
    assert worst_counts(setting, 6).tolist() == [0, 2, 4]
    assert setting.gap(1) == pytest.approx(setting.gap_of([0, 0, 1]))
    for counts in ((4, 2, 0), (2, 2, 2), (1, 1, 4)):
        assert setting.gap_of(counts) < setting.gap(6)


def test_no_gap_is_wider_than_the_ball():
    # The published code leaves this bound out.
    ball = small(radius=0.05)
    assert ball.gap() == ball.gap_of([4, 4, 4]) == 0.1
    _, carried = sequential_epochs(ball, 1.0, 1e-2, 5.0, [ball.gap()] * 9)
    assert max(carried) == 0.1
    assert ball.gap_before(3) == pytest.approx(ball.shrunk(0.1, 3) + 0.1)


def test_requests_add_to_what_is_left_of_those_before():
    setting = small()
    gaps = [0.3, 0.1, 0.2]
    epochs, carried = sequential_epochs(setting, 0.2, 1e-2, 0.4, gaps)
    left = 0.0
    for k, z, gap in zip(epochs, carried, gaps, strict=True):
        assert z == pytest.approx(left + gap)
        assert setting.epsilon(1e-2, z, 0.4, k, "exact") <= 0.2
        assert k == 1 or setting.epsilon(1e-2, z, 0.4, k - 1, "exact") > 0.2
        left = setting.contraction ** (k * 3) * z


# --- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"batch": 5}, "12 records cannot be divided into batches of 5"),
        ({"rate": 0.84}, "at most 1/L = 0.83"),
        ({"strong": 1.3}, "0 <= m <= L"),
        ({"strong": -0.1}, "0 <= m <= L"),
        ({"lipschitz": math.inf}, "clip the gradients"),
        ({"radius": 0.0}, "radius is 0"),
    ],
)
def test_constants_without_a_guarantee_are_refused(changes, said):
    with pytest.raises(ConfigError, match=said):
        small(**changes)


def test_questions_without_an_answer_are_refused():
    setting = small()
    with pytest.raises(ConfigError, match="sigma is 0"):
        setting.epsilon(0.1, 1.0, 0.0, 1)
    with pytest.raises(ConfigError, match="0 epochs give no guarantee"):
        setting.decay(0)
    with pytest.raises(ConfigError, match=r"form .* 'exat' is not known.*'exact'\?"):
        setting.decay(1, "exat")
    with pytest.raises(ConfigError, match="delta is 1"):
        setting.epsilon(1.0, 1.0, 1.0, 1)
    with pytest.raises(ConfigError, match="epsilon is 0"):
        setting.sigma_for(0.0, 0.1, 1.0, 1)
    with pytest.raises(ConfigError, match="too small for double precision"):
        setting.epochs_for(1e-200, 0.1, 1.0, 1.0)
    with pytest.raises(ConfigError, match="only within a ball"):
        setting.coefficient_before(3, 1.0, 1)
    with pytest.raises(ConfigError, match="13 of 12 records"):
        setting.gap(13)
    with pytest.raises(ConfigError, match="counted for 3 batches, each from 0 to 4"):
        setting.gap_of([5, 0, 0])
    with pytest.raises(ConfigError, match="counted for 3 batches, each from 0 to 4"):
        setting.gap_of([-1, 2, 0])
    with pytest.raises(ConfigError, match="needs strong convexity"):
        DescentToDelete(small(strong=0.0), 3)
    with pytest.raises(ConfigError, match="strongly convex"):
        Langevin(small(strong=0.0))
    with pytest.raises(ConfigError, match="2 forms for 1 requests"):
        sequential_epochs(setting, 1.0, 0.1, 1.0, [1.0], ["exact", "exact"])


# --- the best split, and utility ------------------------------------------------------------------


@pytest.mark.parametrize(("first", "second"), [(1e-9, 0.02), (0.003, 0.02), (0.02, 0.02)])
def test_the_best_split_is_the_minimum_over_order_and_exponent(first, second):
    """Hoelder's exponents p and the order a, both by a numerical search."""
    ell = np.log(1 / DELTA)

    def epsilon(logarithms):
        p, a = 1 + np.exp(logarithms)
        q = p / (p - 1)
        joined = (a - 1 / p) / (a - 1) * second * p * a + first * q * (a - 1 / p)
        return joined + ell / (a - 1)

    starts = [[x, y] for x in (-6.0, -2.0, 1.0) for y in (0.0, 3.0)]
    found = min(minimize(epsilon, s, method="Nelder-Mead", tol=1e-12).fun for s in starts)
    joined = (np.sqrt(first) + np.sqrt(second)) ** 2
    assert privacy.epsilon(joined, DELTA) == pytest.approx(found, rel=1e-6)


def test_the_best_split_needs_less_noise():
    """The noise of batches of 128 at epsilon 1 falls from 0.00410 to 0.00286."""
    setting = accounts.constants(128)
    delta = 1 / accounts.RECORDS
    assert setting.sigma_before(1.0, delta, 30, 1) == pytest.approx(0.00410, abs=5e-6)
    best = setting.sigma_before(1.0, delta, 30, 1, split="best")
    assert best == pytest.approx(0.00286, abs=5e-6)
    # It cannot be less than what converged learning needs.
    assert best >= (1 - 1e-12) * setting.sigma_for(1.0, delta, setting.gap(), 1)


def test_the_excess_risk_is_within_its_bound():
    """Noisy descent on a quadratic of many directions, whose risk is known exactly."""
    strong, smooth, d, sigma, n = 0.5, 1.0, 20, 0.1, 10
    setting = Setting(n, n, strong / (2 * smooth**2), strong, smooth, 1.0)
    curvatures = np.linspace(strong, smooth, d)
    # The law without a start: variance 2 eta sigma^2 / (1 - (1 - eta h)^2) in each direction.
    variance = 2 * setting.rate * sigma**2 / (1 - (1 - setting.rate * curvatures) ** 2)
    risk = 0.5 * float(curvatures @ variance)
    assert risk <= setting.excess_risk(d, sigma, 50)
    assert risk > 0.1 * setting.excess_risk(d, sigma, 50)
    few, many = setting.excess_risk(d, sigma, 1), setting.excess_risk(d, sigma, 4)
    gone = setting.lipschitz * setting.gap() * setting.contraction * (1 - setting.contraction**3)
    assert few - many == pytest.approx(gone)
    with pytest.raises(ConfigError, match="one batch and a rate of at most"):
        Setting(n, n, 1.0, strong, smooth, 1.0).excess_risk(d, sigma, 1)


@pytest.mark.parametrize("smooth", [0.8, 4.0])
def test_the_excess_risk_is_bounded_up_to_a_rate_of_half_of_m_over_the_square_of_l(smooth):
    def setting(rate: float) -> Setting:
        return Setting(10, 10, rate, 0.5, smooth, 1.0)

    most = 0.5 / (2 * smooth**2)
    assert setting(most).excess_risk(3, 0.1, 1) > 0
    with pytest.raises(ConfigError, match=f"at most {most:g}, not for"):
        setting(1.01 * most).excess_risk(3, 0.1, 1)
