"""Intervals of few systems, over many data sets of a linear model."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import t as student
from tiers import parameters

from popinv.inference.answer.result import estimate_dataset
from popinv.inference.density.conditions import Conditions
from popinv.inference.density.problem import Problem
from popinv.inference.estimators.fit_marginal import fit_marginal_likelihood
from popinv.inference.uncertainty.intervals import intervals, law_interval
from popinv.population.known import Known
from popinv.population.laws.gaussian import normal_law
from popinv.population.noise.unstructured import IsotropicNoise

# Mean, and logarithms of the deviations of the law and of the noise.
TRUTH = np.array([2.0, 0.0, np.log(0.7)])


def levels(count: int, seed: int) -> Problem:
    """Return systems of which each has a level of its own, seen three times."""
    rng = np.random.default_rng([count, seed])
    data = rng.normal(2.0, 1.0, (count, 1)) + 0.7 * rng.standard_normal((count, 3))

    def simulate(z: torch.Tensor) -> torch.Tensor:
        return z.expand(-1, 3)

    return Problem(data, simulate, normal_law(["level"]), IsotropicNoise(3), np.full(3, 0.5))


def test_the_ends_are_those_of_the_analysis_of_variance():
    problem = levels(8, 0)
    estimate = fit_marginal_likelihood(problem, TRUTH)
    ends = intervals(problem, estimate_dataset(problem, estimate))
    low, high = (float(end[0]) for end in ends["noise"])
    within = problem.data.var(axis=1, ddof=1)
    # Sixteen degrees of freedom lie within the systems.
    assert np.exp(estimate.p[2]) == pytest.approx(np.sqrt(within.mean()), rel=0.01)
    assert low < np.exp(estimate.p[2]) < high
    error = problem.data.mean(axis=1).std() / np.sqrt(8)
    assert estimate.standard_errors[0] == pytest.approx(error, rel=0.02)


def regression(count: int, width: int, covariates: int, seed: int) -> Problem:
    """Return systems whose levels depend on covariates, and on one slope that all have in common.

    ``y_ij = level_i + slope x_j + noise``, with x the same in all systems.
    """
    rng = np.random.default_rng([count, covariates, seed])
    names = [f"c{k}" for k in range(covariates)]
    known = rng.standard_normal((count, covariates))
    x = np.linspace(-1.0, 1.0, width)
    level = 2.0 + 0.5 * known.sum(axis=1) + rng.standard_normal(count)
    data = level[:, None] + 0.3 * x + 0.4 * rng.standard_normal((count, width))
    law = normal_law(
        ["level", "slope"],
        common=["slope"],
        covariates=names,
        effects=[("level", name) for name in names],
    )
    of_x = torch.from_numpy(x)

    def simulate(z: torch.Tensor) -> torch.Tensor:
        return z[:, :1] + z[:, 1:] * of_x

    of_systems = Known.of_arrays(np.empty((count, 0)), known)
    conditions = Conditions.stated(data.shape, known=of_systems)
    scale = np.full(len(law.names) + 1, 0.5)
    noise = IsotropicNoise(width)
    return Problem(data, simulate, law, noise, scale, conditions=conditions)


def start_of(problem: Problem) -> np.ndarray:
    """Return a start of a regression near the truth."""
    start = np.full(len(problem.free), 0.5)
    start[[0, 1, 2, -1]] = [2.0, 0.3, 0.0, np.log(0.4)]
    return start


def analysis_of_variance(problem: Problem) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return estimates, and lower and upper ends, of means and coefficients.

    The levels have a stratum of their own, and the slope lies in the other one.
    """
    count, width = problem.data.shape
    level = problem.data.mean(axis=1)
    design = np.column_stack([np.ones(count), problem.known.covariates.numpy()])
    found, squares, *_ = np.linalg.lstsq(design, level, rcond=None)
    left = count - design.shape[1]
    errors = np.sqrt(np.diag(np.linalg.inv(design.T @ design)) * squares / left)
    x, within = np.linspace(-1.0, 1.0, width), problem.data - level[:, None]
    slope = (within @ x).sum() / (count * (x @ x))
    inner = count * (width - 1) - 1
    rest = ((within - slope * x) ** 2).sum() / inner
    values = np.insert(found, 1, slope)
    errors = np.insert(errors, 1, np.sqrt(rest / (count * (x @ x))))
    degrees = np.insert(np.full(len(found), left), 1, inner)
    half = student.ppf(0.975, degrees) * errors
    return values, values - half, values + half


@pytest.mark.full
@parameters("count, covariates, restricted", [(8, 3, False), (6, 1, True)], [(12, 4, False)])
def test_intervals_of_coefficients_are_those_of_the_analysis_of_variance(
    count, covariates, restricted
):
    problem = regression(count, 4, covariates, 1)
    estimate = fit_marginal_likelihood(problem, start_of(problem), restricted=restricted)
    ends = intervals(problem, estimate_dataset(problem, estimate))["law"]
    entries = list(problem.law.mean_entries)
    values, low, high = analysis_of_variance(problem)
    found = [each[entries] for each in (problem.natural(estimate.p), *ends)]
    for each, expected in zip(found, (values, low, high), strict=True):
        assert np.max(np.abs(each - expected) / (high - low)) < 0.01


def test_a_nonlinear_model_counts_the_coefficients_of_each_parameter():
    """Containment: means and coefficients of a parameter come from as many systems less these."""
    law = normal_law(
        ["a", "b"], common=["b"], covariates=["c", "d"], effects=[("a", "c"), ("a", "d")]
    )
    assert law.names == ("a_mean", "b_mean", "a_standard_deviation", *law.names[3:])
    np.testing.assert_array_equal(law.mean_counts, [3, 1, 3, 3, 3])
    low, high = law_interval(law, np.zeros(5), np.eye(5), 8)
    half = student.ppf(0.975, [5, 7, 5, 5]) * np.sqrt(8 / np.array([5, 7, 5, 5]))
    np.testing.assert_allclose(high[[0, 1, 3, 4]], half)
    np.testing.assert_allclose(low, np.where(np.arange(5) == 2, low, -high))


@pytest.mark.full
@pytest.mark.parametrize("count", [8, 30])
def test_intervals_hold_the_truth_as_often_as_they_say(count):
    sets, held = 200, np.zeros(3)
    natural = np.array([2.0, 1.0, 0.7])
    for seed in range(sets):
        problem = levels(count, seed)
        estimate = fit_marginal_likelihood(problem, TRUTH)
        assert estimate.passes, estimate.reason
        ends = intervals(problem, estimate_dataset(problem, estimate))
        low, high = (np.concatenate([ends["law"][i], ends["noise"][i]]) for i in range(2))
        held += (low <= natural) & (natural <= high)
    # A share of 95 % of 200 is known to 1.5 %.
    np.testing.assert_allclose(held / sets, 0.95, atol=0.04)
