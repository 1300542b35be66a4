"""Directions that the data do not determine, where only the error of the draws has a slope."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from popinv.errors import DivergenceError
from popinv.inference.density.problem import Problem
from popinv.inference.estimators.fit_marginal import fit_marginal_likelihood
from popinv.inference.estimators.marginal_estimate import point_of
from popinv.inference.integrate.marginal import MarginalSettings, evaluate
from popinv.population.laws.gaussian import lognormal_law
from popinv.population.noise.unstructured import IsotropicNoise

TIMES = torch.tensor([0.5, 1.0, 2.0, 4.0], dtype=torch.float64)
# Means of the logarithms of F and V, logarithms of their deviations and of the noise's.
START = np.log([0.8, 2.5, 0.37, 0.33, 0.14])


def ratio(z: torch.Tensor) -> torch.Tensor:
    return 10 * z[:, :1] / z[:, 1:2] * torch.exp(-0.3 * TIMES)


def ratios(count: int) -> Problem:
    """Return doses of which a share F is absorbed into a volume V."""
    rng = np.random.default_rng(0)
    share = 0.335 * np.exp(rng.normal(0, 0.28, (count, 1)))
    data = 10 * share * np.exp(-0.3 * TIMES.numpy()) + 0.1 * rng.standard_normal((count, 4))
    return Problem(data, ratio, lognormal_law(["F", "V"]), IsotropicNoise(4), np.full(5, 0.5))


def test_the_ascent_does_not_run_away_along_them():
    problem = ratios(60)
    estimate = fit_marginal_likelihood(problem, START, rough=True)
    assert estimate.arrived
    # It stays where it starts, and finds what is determined: the ratio, and its deviation.
    assert np.abs(estimate.p[:2] - START[:2]).max() < 1.0
    curve = 10 * np.exp(-0.3 * TIMES.numpy())
    amplitudes = np.log(problem.data @ curve / (curve @ curve))
    of_ratio = estimate.p[0] - estimate.p[1]
    assert of_ratio == pytest.approx(amplitudes.mean(), abs=0.01)
    deviation = np.sqrt(np.exp(2 * estimate.p[2]) + np.exp(2 * estimate.p[3]))
    assert deviation == pytest.approx(amplitudes.std(), rel=0.05)


@pytest.mark.parametrize("name", ["log_likelihood", "scores", "score_error"])
def test_a_system_whose_draws_say_nothing_is_no_point_of_an_ascent(name):
    problem = ratios(20)
    evaluation = evaluate(problem, START, MarginalSettings())
    assert np.isfinite(point_of(problem, START, evaluation).information).all()
    broken = getattr(evaluation, name).copy()
    broken[3] = np.nan
    with pytest.raises(DivergenceError, match="is not finite"):
        point_of(problem, START, replace(evaluation, **{name: broken}))
