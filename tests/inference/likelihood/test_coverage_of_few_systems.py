"""Intervals of few systems, over many data sets of a linear model."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from popinv.inference.intervals import intervals
from popinv.inference.likelihood.fit_marginal import fit_marginal_likelihood
from popinv.inference.problem import Problem
from popinv.inference.result import estimate_dataset
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
