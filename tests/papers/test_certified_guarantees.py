"""Guarantees of a sequence of requests and before convergence, and what rival methods cost."""

from __future__ import annotations

import math

import numpy as np
import pytest
from certified_constants import DELTA, N, mnist, small
from scipy.optimize import minimize, minimize_scalar

from popinv.errors import ConfigError
from popinv.methods import privacy
from popinv.methods.certificate.accountant import Setting
from popinv_papers.certified_unlearning import accounts, guarantees
from popinv_papers.certified_unlearning.accounts import DescentToDelete, Langevin

PUBLISHED_CODE = ["paper", *["exact"] * 99]


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
        needed = guarantees.sigma_before(setting, epsilon, DELTA, learnt, 1)
        # To three digits; those were found by a minimiser that may stop early, here at 2.125.
        unit = 10.0 ** (math.floor(math.log10(sigma)) - 2)
        assert abs(needed - sigma) < 0.55 * unit
        total = sum(guarantees.coefficients_before(setting, learnt, needed, 1))
        assert total == pytest.approx(guarantees.joined_coefficient(epsilon, DELTA))


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
        epochs, carried = guarantees.sequential_epochs(
            setting, 0.01, DELTA, sigma, gaps, PUBLISHED_CODE
        )
        assert sum(epochs) == total
        bound = setting.gap() / (1 - setting.shrunk(1.0, min(epochs)))
        assert max(carried) <= bound * (1 + 1e-12)


def test_first_and_last_epochs_of_a_hundred_requests():
    setting = mnist(N)
    gaps = [setting.gap()] * 100
    for sigma, ends in ((0.01, (133, 105)), (0.05, (97, 70)), (1.0, (29, 17))):
        epochs, _ = guarantees.sequential_epochs(setting, 0.01, DELTA, sigma, gaps, PUBLISHED_CODE)
        assert (epochs[0], epochs[-1]) == ends


def test_epochs_by_form():
    setting = mnist(N)
    gaps = [setting.gap()] * 100
    for forms, total in (("exact", 886), ("paper", 1786), (PUBLISHED_CODE, 887)):
        assert sum(guarantees.sequential_epochs(setting, 1.0, DELTA, 0.03, gaps, forms)[0]) == total


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


def test_requests_add_to_what_is_left_of_those_before():
    setting = small()
    gaps = [0.3, 0.1, 0.2]
    epochs, carried = guarantees.sequential_epochs(setting, 0.2, 1e-2, 0.4, gaps)
    left = 0.0
    for k, z, gap in zip(epochs, carried, gaps, strict=True):
        assert z == pytest.approx(left + gap)
        assert setting.epsilon(1e-2, z, 0.4, k, "exact") <= 0.2
        assert k == 1 or setting.epsilon(1e-2, z, 0.4, k - 1, "exact") > 0.2
        left = setting.contraction ** (k * 3) * z


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
    assert guarantees.sigma_before(setting, 1.0, delta, 30, 1) == pytest.approx(0.00410, abs=5e-6)
    best = guarantees.sigma_before(setting, 1.0, delta, 30, 1, split="best")
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
    assert risk <= guarantees.excess_risk(setting, d, sigma, 50)
    assert risk > 0.1 * guarantees.excess_risk(setting, d, sigma, 50)
    few, many = (
        guarantees.excess_risk(setting, d, sigma, 1),
        guarantees.excess_risk(setting, d, sigma, 4),
    )
    gone = setting.lipschitz * setting.gap() * setting.contraction * (1 - setting.contraction**3)
    assert few - many == pytest.approx(gone)
    with pytest.raises(ConfigError, match="one batch and a rate of at most"):
        guarantees.excess_risk(Setting(n, n, 1.0, strong, smooth, 1.0), d, sigma, 1)


@pytest.mark.parametrize("smooth", [0.8, 4.0])
def test_the_excess_risk_is_bounded_up_to_a_rate_of_half_of_m_over_the_square_of_l(smooth):
    def setting(rate: float) -> Setting:
        return Setting(10, 10, rate, 0.5, smooth, 1.0)

    most = 0.5 / (2 * smooth**2)
    assert guarantees.excess_risk(setting(most), 3, 0.1, 1) > 0
    with pytest.raises(ConfigError, match=f"at most {most:g}, not for"):
        guarantees.excess_risk(setting(1.01 * most), 3, 0.1, 1)


@pytest.mark.parametrize("a", [1e-6, 1e-3, 0.05, 2.0])
@pytest.mark.parametrize("delta", [0.1, 1e-5])
def test_the_closed_form_of_joined_guarantees_is_the_minimum(a, delta):
    def epsilon(log_u):
        u = math.exp(log_u)
        return (u + 0.5) / u * 2 * (1 + u) * a + math.log(1 / delta) / u

    least = minimize_scalar(epsilon, bounds=(-10, 20), method="bounded", options={"xatol": 1e-10})
    assert guarantees.joined_coefficient(least.fun, delta) == pytest.approx(a, rel=1e-6)


def test_no_gap_of_a_sequence_is_wider_than_the_ball():
    # The published code leaves this bound out.
    ball = small(radius=0.05)
    _, carried = guarantees.sequential_epochs(ball, 1.0, 1e-2, 5.0, [ball.gap()] * 9)
    assert max(carried) == 0.1
    assert guarantees.gap_before(ball, 3) == pytest.approx(ball.shrunk(0.1, 3) + 0.1)


def test_questions_without_an_answer_are_refused():
    with pytest.raises(ConfigError, match="only within a ball"):
        guarantees.gap_before(small(), 3)
    with pytest.raises(ConfigError, match="needs strong convexity"):
        DescentToDelete(small(strong=0.0), 3)
    with pytest.raises(ConfigError, match="strongly convex"):
        Langevin(small(strong=0.0))
