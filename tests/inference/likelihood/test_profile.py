"""Intervals by profile, and parameters at their boundary."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from linear_population import PLACES, line
from scipy import stats
from scipy.optimize import minimize
from scipy.stats import multivariate_normal
from tiers import parameters

from popinv.inference.density.problem import Problem
from popinv.inference.estimators.fit_marginal import fit_marginal_likelihood
from popinv.inference.estimators.fit_pseudo import fit_pseudo_likelihood, profiled
from popinv.population.laws.gaussian import normal_law
from popinv.population.noise.time_series import AutoregressiveNoise
from popinv.population.noise.unstructured import IsotropicNoise


def lines(count: int, deviation: float, seed: int, noise: float = 0.5) -> Problem:
    """Return lines whose slopes have this deviation, seen through isotropic noise."""
    rng = np.random.default_rng(seed)
    z = np.column_stack(
        [1 + 0.8 * rng.standard_normal(count), 2 + deviation * rng.standard_normal(count)]
    )
    data = line(torch.from_numpy(z)).numpy() + noise * rng.standard_normal((count, 6))
    law = normal_law(["intercept", "slope"])
    return Problem(data, line, law, IsotropicNoise(6), np.full(5, 0.5), seed=seed)


def log_likelihood(problem: Problem, p: np.ndarray) -> float:
    design = np.column_stack([np.ones(6), PLACES])
    covariance = design @ np.diag(np.exp(2 * p[2:4])) @ design.T + np.exp(2 * p[4]) * np.eye(6)
    return float(multivariate_normal.logpdf(problem.data, design @ p[:2], covariance).sum())


def drop(problem: Problem, top: float, start: np.ndarray, x: float) -> float:
    """Return by how much the maximum falls with the slopes' log deviation at x, by SciPy."""

    def lost(q: np.ndarray) -> float:
        return -log_likelihood(problem, np.insert(q, 3, x))

    return top + minimize(lost, np.delete(start, 3), method="BFGS").fun


def test_an_ill_determined_deviation_has_the_ends_of_its_profile():
    problem = lines(40, 0.4, seed=3)
    estimate = profiled(problem, fit_pseudo_likelihood(problem, [np.zeros(5)]))
    ends = estimate.ends[3]
    top = -minimize(lambda q: -log_likelihood(problem, q), estimate.p, method="BFGS").fun
    scale = float(np.clip(estimate.covariance[3, 3] / estimate.bread[3, 3], 0.2, 5.0))
    for x in (ends.lower, ends.upper):
        # Ends are found to 0.03 in the logarithm, over which the drop changes by about 0.1.
        if np.isfinite(x):
            assert abs(drop(problem, top, estimate.p, x) - 1.92 * scale) < 0.3


@parameters("sets, least, most", [(3, 1, 3)], full=[(8, 2, 7)])
def test_a_deviation_of_zero_is_said_to_be_and_leaves_the_others_alone(sets, least, most):
    wanted = [np.log(0.8), np.log(0.5)]
    at_zero = 0
    for seed in range(sets):
        problem = lines(60, 0.0, seed=seed)
        estimate = profiled(problem, fit_pseudo_likelihood(problem, [np.zeros(5)]))
        assert estimate.arrived
        assert np.all(np.abs(estimate.p[[2, 4]] - wanted) < 4 * estimate.standard_errors[[2, 4]])
        at_boundary = [i for i, ends in estimate.ends.items() if ends.boundary]
        # Whatever lies at its boundary is held there, and is the only one.
        np.testing.assert_array_equal(np.flatnonzero(estimate.standard_errors == 0), at_boundary)
        if 3 not in at_boundary:
            continue
        at_zero += 1
        ends = estimate.ends[3]
        assert ends.boundary == "zero"
        assert ends.lower == -np.inf
        # One-sided: the truth, zero, is inside whatever the upper end is.
        assert 0.05 < np.exp(ends.upper) < 1.0
        held = replace(problem, fixed=(3,))
        likelihood = fit_marginal_likelihood(held, estimate.p)
        assert likelihood.passes, likelihood.reason
        assert likelihood.standard_errors[3] == 0.0
        np.testing.assert_allclose(likelihood.p[:3], estimate.p[:3], atol=0.05)
        # The likelihood finds it by itself.
        alone = fit_marginal_likelihood(problem, estimate.p)
        assert alone.passes, alone.reason
        assert alone.ends[3].boundary == "zero"
        np.testing.assert_allclose(alone.ends[3].upper, ends.upper, atol=0.3)
        others = [0, 1, 2, 4]
        np.testing.assert_allclose(alone.p[others], likelihood.p[others], atol=0.01)
        np.testing.assert_allclose(
            alone.standard_errors, likelihood.standard_errors, rtol=0.05, atol=1e-12
        )
    # A variance that is zero is estimated as zero about half of the time.
    assert least <= at_zero <= most


@parameters("sign", [1], full=[-1])
def test_a_correlation_of_one_has_the_end_of_its_profile(sign):
    rng = np.random.default_rng(7)
    u = rng.standard_normal((60, 1))
    z = np.hstack([1 + 0.6 * u, 2 + sign * 0.4 * u])
    data = line(torch.from_numpy(z)).numpy() + 0.3 * rng.standard_normal((60, 6))
    law = normal_law(["intercept", "slope"], groups=[["intercept", "slope"]])
    problem = Problem(data, line, law, IsotropicNoise(6), np.full(6, 0.5))
    start = np.array([1, 2, np.log(0.6), np.log(0.4), sign, np.log(0.3)])
    design = np.column_stack([np.ones(6), PLACES])

    def lost(q: np.ndarray, atanh: float) -> float:
        root, r = design * np.exp(q[2:4]), np.tanh(atanh)
        covariance = root @ np.array([[1, r], [r, 1]]) @ root.T + np.exp(2 * q[4]) * np.eye(6)
        return -float(multivariate_normal.logpdf(data, design @ q[:2], covariance).sum())

    def least(atanh: float) -> float:
        return float(minimize(lost, np.delete(start, 4), (atanh,), method="BFGS").fun)

    estimate = fit_marginal_likelihood(problem, start)
    assert estimate.passes, estimate.reason
    assert list(estimate.ends) == [4]
    ends = estimate.ends[4]
    assert ends.boundary == ("one" if sign > 0 else "minus one")
    outer, inner = (ends.upper, ends.lower) if sign > 0 else (ends.lower, ends.upper)
    assert outer == sign * np.inf
    fall = least(inner) - least(sign * 8.0)
    # Ends are found to 0.03 in the atanh, over which the fall changes by about 0.15.
    assert fall == pytest.approx(stats.t.ppf(0.95, 59) ** 2 / 2, abs=0.15)
    # It is held at its boundary.
    assert estimate.standard_errors[4] == 0
    assert np.all(np.delete(estimate.standard_errors, 4) > 0)


def test_size_and_correlation_of_noise_have_the_ends_of_their_profiles():
    """Of few systems: the intervals are wide, and skewed to large and long noise."""
    rng, lags = np.random.default_rng(3), np.abs(np.subtract.outer(np.arange(6), np.arange(6)))
    z = np.array([1, 2]) + np.array([0.8, 0.4]) * rng.standard_normal((8, 2))
    root = 0.5 * np.linalg.cholesky(0.5**lags)
    data = line(torch.from_numpy(z)).numpy() + rng.standard_normal((8, 6)) @ root.T
    law, noise = normal_law(["intercept", "slope"]), AutoregressiveNoise(1, 6, 1)
    problem = Problem(data, line, law, noise, np.full(6, 0.5))
    start = np.array([1, 2, np.log(0.8), np.log(0.4), np.log(0.5), np.arctanh(0.5)])
    design = np.column_stack([np.ones(6), PLACES])

    def lost(q: np.ndarray) -> float:
        spread = design @ np.diag(np.exp(2 * q[2:4])) @ design.T
        covariance = spread + np.exp(2 * q[4]) * np.tanh(q[5]) ** lags
        return -float(multivariate_normal.logpdf(data, design @ q[:2], covariance).sum())

    estimate = fit_marginal_likelihood(problem, start)
    assert estimate.passes, estimate.reason
    top = estimate.p
    for i in (4, 5):
        for end in (estimate.ends[i].lower, estimate.ends[i].upper):
            others = np.delete(top, i)
            held = minimize(lambda q, i=i, end=end: lost(np.insert(q, i, end)), others)
            # Ends are found to 0.03, over which the fall changes by about 0.3.
            fall = held.fun - lost(top)
            assert fall == pytest.approx(stats.t.ppf(0.975, 7) ** 2 / 2, abs=0.4)


def test_a_well_determined_parameter_has_no_ends_of_its_own():
    problem = lines(400, 1.0, seed=1)
    estimate = fit_pseudo_likelihood(problem, [np.zeros(5)])
    assert not profiled(problem, estimate).ends
