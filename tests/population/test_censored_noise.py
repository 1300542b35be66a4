"""Probabilities and moments of censored observations, against SciPy, mpmath and fine grids."""

from __future__ import annotations

import math
from itertools import pairwise, product

import mpmath
import numpy as np
import pytest
import torch
from scipy import integrate, stats
from tiers import parameters, thinned

from popinv.population.limits import Limits
from popinv.population.noise.clipped import clipped_moments, loading_matrices
from popinv.population.noise.intervals import (
    FAR,
    MOST_ENTRIES,
    _truncated,
    interval_information,
    log_interval,
    log_rectangle,
)

LOW = [-FAR, -1.0, 5.0, -40.0, 30.0, -FAR, 39.0, -0.5]
HIGH = [1.0, 2.0, 6.0, -39.0, FAR, -60.0, 40.0, -0.499]
FREEDOMS = (None, 2.5, 5.0, 300.0)


def tensor(values: object) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def tails_of(freedom: float | None) -> torch.Tensor | None:
    return None if freedom is None else tensor(math.log(freedom - 2))


def exact_log_interval(low: float, high: float, freedom: float | None) -> float:
    """Return log P(low < u < high) with 60 digits."""
    with mpmath.workdps(60):
        if low + high > 0:
            low, high = -high, -low
        ends = [mpmath.mpf(-1e6) if x == -FAR else mpmath.mpf(x) for x in (low, high)]
        if freedom is None:
            below, up_to = (mpmath.ncdf(x) if x > -1e5 else mpmath.mpf(0) for x in ends)
            return float(mpmath.log(up_to - below))

        def share(x: mpmath.mpf) -> mpmath.mpf:
            square = x**2 * freedom / (freedom - 2)
            half = mpmath.betainc(freedom / 2, 0.5, 0, freedom / (freedom + square), True) / 2
            return half if x < 0 else 1 - half

        below = mpmath.mpf(0) if low == -FAR else share(ends[0])
        return float(mpmath.log(share(ends[1]) - below))


@pytest.mark.parametrize("freedom", FREEDOMS)
def test_intervals_are_exact_far_out(freedom: float | None):
    tails = tails_of(freedom)
    low, high = (tensor(each).requires_grad_(True) for each in (LOW, HIGH))
    value = log_interval(low, high, tails)
    exact = [exact_log_interval(a, b, freedom) for a, b in zip(LOW, HIGH, strict=True)]
    np.testing.assert_allclose(value.detach(), exact, rtol=1e-9, atol=1e-9)
    slopes = torch.autograd.grad(value.sum(), (low, high))
    step = 1e-5
    for end, slope in enumerate(slopes):
        for i, (a, b) in enumerate(zip(LOW, HIGH, strict=True)):
            if abs((a, b)[end]) == FAR:
                assert abs(slope[i]) < 1e-40
                continue
            ends = [
                exact_log_interval(a + s * (end == 0), b + s * (end == 1), freedom)
                for s in (step, -step)
            ]
            assert float(slope[i]) == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=2e-4)


@pytest.mark.parametrize("freedom", [None, 5.0])
def test_the_share_of_the_information_is_the_curvature(freedom: float | None):
    tails, a, b = tails_of(freedom), tensor([-FAR, -1.0, -0.5, 0.3]), tensor([0.4, 2.0, 0.1, FAR])
    mean, share = interval_information(a, b, tails)
    step = 1e-4
    moved = [log_interval(a + s, b + s, tails) for s in (step, 0.0, -step)]
    curvature = -(moved[0] - 2 * moved[1] + moved[2]) / step**2
    location = 1.0 if freedom is None else (freedom + 1) / (freedom + 3) * freedom / (freedom - 2)
    # Heavy tails have more curvature in the middle than information.
    np.testing.assert_allclose(share, (curvature / location).clamp(max=1.0), rtol=1e-4)
    law = stats.norm if freedom is None else stats.t(freedom, scale=np.sqrt(1 - 2 / freedom))
    for i, (low, high) in enumerate(zip(a.tolist(), b.tolist(), strict=True)):
        ends = (-np.inf if low == -FAR else low, np.inf if high == FAR else high)
        whole, part = (integrate.quad(f, *ends)[0] for f in (law.pdf, lambda x: x * law.pdf(x)))
        assert float(mean[i]) == pytest.approx(part / whole, rel=1e-6)


def rectangles(k: int, rho: float, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return limits (20, k) about draws of an autoregression, and its covariance."""
    rng = np.random.default_rng(seed)
    covariance = rho ** np.abs(np.subtract.outer(np.arange(k), np.arange(k)))
    draws = rng.standard_normal((20, k)) @ np.linalg.cholesky(covariance).T
    high = draws + np.abs(rng.standard_normal((20, k))) - 0.8 * rng.standard_normal((20, 1))
    low = np.where(rng.random((20, k)) < 0.4, high - 1.5, -np.inf)
    return low, high, covariance


def ours(low: np.ndarray, high: np.ndarray, covariance: np.ndarray) -> torch.Tensor:
    factor = torch.linalg.cholesky(torch.from_numpy(covariance)).expand(len(low), -1, -1)
    ends = (torch.from_numpy(each).clamp(-FAR, FAR) for each in (low, high))
    return log_rectangle(*ends, factor)


# Largest root mean square of the error of log P, which the rule states.
@pytest.mark.parametrize(("k", "error"), [(1, 1e-9), (2, 1e-3), (3, 2e-3), (5, 0.01)])
@pytest.mark.parametrize("rho", [0.5, 0.9])
def test_rectangles_have_the_probabilities_of_scipy(k: int, error: float, rho: float):
    low, high, covariance = rectangles(k, rho, seed=k)
    law = stats.multivariate_normal(np.zeros(k), covariance, maxpts=50_000, abseps=1e-7)
    exact = np.log([law.cdf(b, lower_limit=a) for a, b in zip(low, high, strict=True)])
    # SciPy has absolute errors.
    likely = exact > -7
    apart = (ours(low, high, covariance).numpy() - exact)[likely]
    assert likely.sum() > 10
    assert np.sqrt(np.mean(apart**2)) < error


def test_two_entries_far_out_and_against_their_correlation():
    # P(u < b) of the first entry times that of the second given it, by quadrature in logarithms.
    rho, b = 0.9, np.array([[-6.0, -7.0], [-12.0, -3.0], [3.0, -9.0], [2.0, -35.0]])
    found = ours(np.full(b.shape, -np.inf), b, np.array([[1.0, rho], [rho, 1.0]]))
    for (first, second), value in zip(b, found.tolist(), strict=True):
        centre = min(first, rho * second)
        x = np.linspace(centre - 12, min(first, centre + 12), 200_001)
        logs = stats.norm.logpdf(x) + stats.norm.logcdf((second - rho * x) / np.sqrt(1 - rho**2))
        exact = logs.max() + np.log(integrate.simpson(np.exp(logs - logs.max()), x=x))
        assert value == pytest.approx(exact, abs=0.02)


def test_independent_entries_are_a_product():
    low, high, _ = rectangles(6, 0.5, seed=1)
    found = ours(low, high, np.eye(6))
    each = log_interval(*(torch.from_numpy(x).clamp(-FAR, FAR) for x in (low, high)))
    torch.testing.assert_close(found, each.sum(dim=1))


def test_slopes_of_rectangles_are_those_of_the_rule():
    low, high, covariance = rectangles(4, 0.7, seed=3)
    factor = torch.linalg.cholesky(torch.from_numpy(covariance)).expand(20, -1, -1)
    ends = [torch.from_numpy(x).clamp(-FAR, FAR).requires_grad_(True) for x in (low, high)]
    slopes = torch.autograd.grad(log_rectangle(*ends, factor).sum(), ends)
    for j in range(4):
        step = 1e-4 * np.eye(4)[j]
        up, down = ours(low, high + step, covariance), ours(low, high - step, covariance)
        # The shifts of the draws move too, which changes the error of the rule.
        np.testing.assert_allclose(slopes[1][:, j], (up - down) / 2e-4, atol=0.02, rtol=0.02)


def test_too_many_entries_are_refused():
    n = MOST_ENTRIES + 1
    with pytest.raises(ValueError, match=f"has {n} entries, but at most {MOST_ENTRIES}"):
        log_rectangle(torch.zeros(1, n), torch.ones(1, n), torch.eye(n)[None])


CASES = {
    "below": {"lower": [0.3, 1.0]},
    "above": {"upper": [0.5, 0.2]},
    "both": {"lower": [-0.5, 0.4], "upper": [0.9, 1.5]},
    "between": {"lower": [0.4, 1.2], "least": [-0.6, 0.5], "upper": [1.0, 2.0], "most": [1.6, 2.4]},
    "all": {"lower": [9.0, 8.0]},
}


def limits_of(case: str) -> Limits:
    return Limits.of_arrays((1, 2), **{name: np.array([x]) for name, x in CASES[case].items()})


@parameters("case, rho", *thinned(product(CASES, [0.0, -0.6, 0.95]), 2))
def test_moments_are_those_of_a_fine_grid(case: str, rho: float):
    limits, g, d = limits_of(case), np.array([0.2, 1.0]), np.array([1.0, 0.7])
    # The tolerance is that of the rule under test.
    x = (np.arange(600) + 0.5) * (14 / 600) - 7
    u = np.stack([each.ravel() for each in np.meshgrid(x, x, indexing="ij")], axis=1)
    weights = np.exp(-0.5 * (u**2).sum(axis=1))
    weights /= weights.sum()
    noise = np.column_stack([u[:, 0], rho * u[:, 0] + np.sqrt(1 - rho**2) * u[:, 1]])
    every = limits.of(np.zeros(len(u), dtype=int))
    y = every.held(torch.from_numpy(g + d * noise)).numpy()
    mean = weights @ y
    covariance = (weights[:, None] * (y - mean)).T @ (y - mean)
    correlation = tensor([[1.0, rho], [rho, 1.0]])
    found, loadings = clipped_moments(
        *(torch.from_numpy(each)[None] for each in (g, d)), limits.tensors(), False
    )
    matrices = loading_matrices(correlation)
    whole = torch.einsum("kij,kmi,kmj->ij", matrices, loadings, loadings)
    np.testing.assert_allclose(found[0], mean, atol=5e-3)
    np.testing.assert_allclose(whole, covariance, atol=5e-3)
    alone = clipped_moments(
        *(torch.from_numpy(each)[None] for each in (g, d)), limits.tensors(), True
    )
    np.testing.assert_allclose(alone[1][0, 0] ** 2, np.diag(covariance), atol=5e-3)


@pytest.mark.parametrize("case", CASES)
def test_moments_of_heavy_tails_are_those_of_quadrature(case: str):
    limits, freedom = limits_of(case), 4.0
    law = stats.t(freedom, scale=np.sqrt(1 - 2 / freedom))
    g, d = np.array([0.2, 1.0]), np.array([1.0, 0.7])
    mean, loadings = clipped_moments(
        *(torch.from_numpy(each)[None] for each in (g, d)),
        limits.tensors(),
        True,
        tails_of(freedom),
    )

    def held(u: float, power: int, entry: int) -> float:
        y = np.where(np.arange(2) == entry, g + d * u, g)[None]
        value = float(limits.held(torch.from_numpy(y))[0, entry]) - g[entry]
        return value**power * law.pdf(u)

    for entry in range(2):
        ends = [(x[0, entry] - g[entry]) / d[entry] for x in limits.arrays]
        edges = [-np.inf, *sorted(x for x in ends if np.isfinite(x)), np.inf]
        first, second = (
            sum(
                integrate.quad(held, a, b, args=(power, entry), epsabs=1e-10)[0]
                for a, b in pairwise(edges)
            )
            for power in (1, 2)
        )
        assert float(mean[0, entry]) == pytest.approx(g[entry] + first, abs=1e-6)
        variance = second - first**2
        assert float(loadings[0, 0, entry]) ** 2 == pytest.approx(variance, rel=1e-4, abs=1e-6)


def test_what_is_held_of_an_observation_and_what_is_known_of_it():
    limits = Limits.of_arrays(
        (1, 4), lower=1.0, least=0.0, upper=3.0, most=np.array([[5, 5, 5, 9]])
    )
    y = np.array([[0.5, 2.0, 4.0, 9.5]])
    held = limits.held(torch.from_numpy(y)).numpy()
    assert held.tolist() == [[1.0, 2.0, 3.0, 9.5]]
    low, high = limits.ends(held)
    assert low.tolist() == [[0.0, 2.0, 3.0, 9.5]]
    assert high.tolist() == [[1.0, 2.0, 5.0, 9.5]]
    with pytest.raises(ValueError, match="not below"):
        Limits.of_arrays((1, 1), lower=1.0, upper=1.0)


def test_noise_without_size_has_finite_moments_and_derivatives():
    # Noise that grows with a signal of zero.
    g = torch.tensor([[0.0, 1e-300, 2.0]], dtype=torch.float64)
    share = torch.tensor(0.1, dtype=torch.float64, requires_grad=True)
    none = torch.full_like(g, torch.inf)
    limits = torch.full_like(g, 0.4), none, -none, none
    mean, loadings = clipped_moments(g, share * g, limits, True)
    (slope,) = torch.autograd.grad((mean + loadings[0]).sum(), share)
    np.testing.assert_allclose(mean.detach().numpy(), [[0.4, 0.4, 2.0]])
    assert torch.isfinite(loadings).all()
    assert torch.isfinite(slope)


@pytest.mark.parametrize(("low", "high"), [(-1.0, 2.0), (-34.0, -31.0), (40.0, 60.0)])
def test_quantiles_of_a_truncated_normal_number_are_exact_in_its_tails(low, high):
    share = torch.tensor([0.001, 0.3, 0.9], dtype=torch.float64)
    ends = (torch.full_like(share, end) for end in (low, high))
    found = _truncated(*ends, share).numpy()
    with mpmath.workdps(60):
        below, above = mpmath.ncdf(low), mpmath.ncdf(high)
        if low > 0:
            below, above = mpmath.ncdf(-low), mpmath.ncdf(-high)
        for x, w in zip(found, share.tolist(), strict=True):
            # Beyond 30 deviations the tail is taken as exponential, to a relative 1e-3 of its law.
            at = mpmath.ncdf(-x) if low > 0 else mpmath.ncdf(x)
            assert float((at - below) / (above - below)) == pytest.approx(w, abs=3e-3)
