"""Lines whose slopes do not differ: the maximum over variances that are not negative."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.optimize import brentq, minimize
from scipy.stats import t as student

from popinv.inference.answer.result import estimate_dataset
from popinv.inference.density.problem import Problem
from popinv.inference.estimators.estimate import Estimate
from popinv.inference.estimators.fit_marginal import _Cycle, fit_marginal_likelihood
from popinv.inference.estimators.fit_pseudo import fit_pseudo_likelihood, profiled
from popinv.inference.estimators.marginal_estimate import point_of
from popinv.inference.estimators.scoring import begin
from popinv.inference.integrate.marginal import MarginalSettings
from popinv.inference.integrate.marginal_near import likelihood_near
from popinv.inference.uncertainty.intervals import boundaries, intervals, settled
from popinv.population.laws.gaussian import normal_law
from popinv.population.noise.unstructured import IsotropicNoise

TIMES = torch.arange(5.0, dtype=torch.float64)
DESIGN = np.column_stack([np.ones(5), TIMES.numpy()])
START = np.array([1.0, 0.0, 0.0, 0.0, 0.0])
# In sets 1, 11 and 12 the variance of the slopes would be negative, in 2 it is not.
SETS = [1, 2, 11, 12]
SLOPES = 3


def line(z: torch.Tensor) -> torch.Tensor:
    return z[:, :1] + z[:, 1:] * TIMES


def parallel_lines(seed: int) -> Problem:
    """Return 40 lines of the same slope, seen through isotropic noise."""
    rng = np.random.default_rng(seed)
    intercepts = rng.normal(2, 1, 40)
    data = intercepts[:, None] - 0.5 * TIMES.numpy() + 0.5 * rng.standard_normal((40, 5))
    law = normal_law(["intercept", "slope"])
    return Problem(data, line, law, IsotropicNoise(5), np.full(5, 0.5), seed=seed)


def lost(data: np.ndarray, v: np.ndarray) -> float:
    """Return minus the log likelihood of means and variances (5,)."""
    covariance = DESIGN @ np.diag(v[2:4]) @ DESIGN.T + v[4] * np.eye(5)
    residual = data - DESIGN @ v[:2]
    squares = (residual * np.linalg.solve(covariance, residual.T).T).sum()
    log_determinant = np.linalg.slogdet(2 * np.pi * covariance)[1]
    return float(0.5 * (len(data) * log_determinant + squares))


def maximum(data: np.ndarray, slopes: float | None = None) -> tuple[np.ndarray, float]:
    """Return means and variances at the maximum, and its height, for given slopes if any."""
    low, high = (0.0, None) if slopes is None else (slopes, slopes)
    bounds = [(None, None), (None, None), (1e-4, None), (low, high), (1e-4, None)]
    start = [2.0, -0.5, 1.0, low + 0.01 if high is None else low, 0.25]
    found = minimize(
        lambda v: lost(data, v),
        start,
        bounds=bounds,
        method="L-BFGS-B",
        options={"ftol": 1e-15, "gtol": 1e-9},
    )
    return found.x, -float(found.fun)


def fitted(problem: Problem, estimator: str) -> Estimate:
    pseudo = fit_pseudo_likelihood(problem, [START])
    if estimator == "pseudo_likelihood":
        return profiled(problem, pseudo)
    return fit_marginal_likelihood(problem, np.clip(pseudo.p, -3.0, None))


@pytest.mark.parametrize("estimator", ["pseudo_likelihood", "likelihood"])
@pytest.mark.parametrize("seed", SETS)
def test_the_estimate_is_the_maximum_over_variances_that_are_not_negative(estimator, seed):
    problem = parallel_lines(seed)
    estimate = fitted(problem, estimator)
    assert estimate.passes, estimate.reason
    exact, top = maximum(problem.data)
    found = np.concatenate([estimate.p[:2], np.exp(2 * estimate.p[2:])])
    # An ascent ends where at most 5e-4 is left to gain.
    assert -lost(problem.data, found) == pytest.approx(top, abs=5e-3)
    # 0.01 is a tenth of a standard error of an intercept's deviation.
    np.testing.assert_allclose(np.sqrt(found[2:]), np.sqrt(exact[2:]), atol=0.01)
    np.testing.assert_allclose(found[:2], exact[:2], atol=2e-3)


@pytest.mark.parametrize("seed", [1, 12])
def test_a_deviation_at_zero_has_the_interval_of_its_profile_that_begins_at_zero(seed):
    problem = parallel_lines(seed)
    estimate = fitted(problem, "likelihood")
    dataset = estimate_dataset(problem, estimate)
    assert boundaries(dataset) == {SLOPES: "zero"}
    assert settled(dataset) == (SLOPES,)
    low, high = (end[SLOPES] for end in intervals(problem, dataset)["law"])
    assert low == 0.0
    _, top = maximum(problem.data)
    target = 0.5 * student(39).ppf(0.95) ** 2

    def excess(deviation: float) -> float:
        return top - maximum(problem.data, deviation**2)[1] - target

    # An end is found to 0.03 in the logarithm.
    assert high == pytest.approx(brentq(excess, 0.02, 1.0), rel=0.04)


@pytest.mark.parametrize("seed", [1, 12])
def test_the_others_have_the_errors_and_ends_that_they_have_without_it(seed):
    problem = parallel_lines(seed)
    estimate = fitted(problem, "likelihood")
    held = replace(problem, fixed=(SLOPES,))
    at = estimate.p.copy()
    at[SLOPES] = -20.0
    alone = fit_marginal_likelihood(held, at)
    assert estimate.standard_errors[SLOPES] == 0.0
    np.testing.assert_allclose(
        estimate.standard_errors, alone.standard_errors, rtol=0.03, atol=1e-12
    )


def bent(z: torch.Tensor) -> torch.Tensor:
    return torch.exp(z[:, :1] - TIMES * torch.exp(z[:, 1:]))


@pytest.mark.parametrize("rates", [0.0, 0.4])
def test_an_ascent_that_ends_at_a_deviation_of_zero_goes_on_where_a_larger_one_gains(rates):
    rng = np.random.default_rng(3)
    z = np.array([1.0, -1.0]) + rng.standard_normal((40, 2)) * [0.3, rates]
    data = bent(torch.from_numpy(z)).numpy() + 0.05 * rng.standard_normal((40, 5))
    problem = Problem(data, bent, normal_law(["size", "rate"]), IsotropicNoise(5), np.full(5, 0.1))
    # At a deviation of rates of e^-9 its score is zero, whatever the likelihood of larger ones.
    start = np.array([1.0, -1.0, -1.0, -1.0, 0.0])
    collapsed = start.copy()
    collapsed[SLOPES] = -9.0
    held = fit_marginal_likelihood(replace(problem, fixed=(SLOPES,)), collapsed)
    settings = MarginalSettings()
    near = likelihood_near(problem, held.p, settings)
    state = replace(
        begin(point_of(problem, held.p, near.here)),
        arrived=True,
        context=_Cycle.first(held.p, settings.draws).arrays(),
    )
    estimate = fit_marginal_likelihood(problem, start, state=state)
    best = fit_marginal_likelihood(problem, start)
    if rates:
        assert estimate.diagnostics["value"] > held.diagnostics["value"] + 50
        # An ascent leaves at most 5e-4.
        np.testing.assert_allclose(
            estimate.diagnostics["value"], best.diagnostics["value"], atol=0.02
        )
        np.testing.assert_allclose(estimate.p, best.p, atol=0.01)
    else:
        # Nothing is gained, and the ascent ends there.
        assert estimate.p[SLOPES] < -3
