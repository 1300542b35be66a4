"""Posteriors with one mode of which draws about it miss a part, against quadrature.

A system has the parameters a and b, and two observations, a + 2 b^2 and b / 5. Given the second,
b is hardly determined, and its posterior has two long arms of which often only one has a mode.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.optimize import approx_fprime, minimize
from tiers import parameters

from popinv.inference.density.conditions import Conditions
from popinv.inference.density.problem import Problem
from popinv.inference.estimators.estimate import Estimate
from popinv.inference.estimators.fit_marginal import fit_marginal_likelihood
from popinv.inference.estimators.likelihood_value import with_value
from popinv.inference.integrate import marginal
from popinv.inference.integrate.draws import draws_of_law
from popinv.inference.integrate.integrals import MarginalSettings
from popinv.inference.integrate.marginal import evaluate, integrals_at
from popinv.inference.integrate.marginal_near import likelihood_near
from popinv.population.known import Known
from popinv.population.laws.gaussian import normal_law
from popinv.population.noise.unstructured import IsotropicNoise

# Means, logarithms of the deviations, and the logarithm of the noise.
TRUTH = np.array([0.0, 0.3, 0.0, np.log(0.7), np.log(0.2)])
SYSTEMS, BEND, SLOPE = 200, 2.0, 0.2


def signal(z: torch.Tensor) -> torch.Tensor:
    """Return a + 2 b^2 and b / 5 of parameters (n, 2)."""
    return torch.stack([z[:, 0] + BEND * z[:, 1] ** 2, SLOPE * z[:, 1]], dim=1)


@pytest.fixture(scope="module")
def curved() -> Problem:
    rng = np.random.default_rng(3)
    z = torch.from_numpy(TRUTH[:2] + np.exp(TRUTH[2:4]) * rng.standard_normal((SYSTEMS, 2)))
    y = signal(z).numpy() + np.exp(TRUTH[4]) * rng.standard_normal((SYSTEMS, 2))
    scale = np.array([1.0, 0.7, 0.3, 0.3, 0.3])
    return Problem(y, signal, normal_law(["a", "b"]), IsotropicNoise(2), scale, seed=1)


def exact(y: np.ndarray) -> Callable[[np.ndarray], float]:
    """Return the log likelihood: a is integrated in closed form, b on a grid."""
    grid = np.linspace(-7, 7, 701)
    weight = np.exp(-(grid**2) / 2)

    def value(p: np.ndarray) -> float:
        noise = np.exp(2 * p[4])
        b = p[1] + np.exp(p[3]) * grid
        total = np.exp(2 * p[2]) + noise
        log = -0.5 * (y[:, :1] - p[0] - BEND * b**2) ** 2 / total - 0.5 * np.log(total)
        log = log - 0.5 * (y[:, 1:] - SLOPE * b) ** 2 / noise - p[4]
        return float(np.log(np.exp(log) @ (weight / weight.sum())).sum())

    return value


def with_inputs(problem: Problem) -> Problem:
    """Return the problem as one whose systems have inputs of their own."""
    known = Known.of_arrays(np.zeros((SYSTEMS, 1)), np.zeros((SYSTEMS, 0)))
    return replace(problem, conditions=Conditions.stated(problem.data.shape, known=known))


def off_the_maximum(curved: Problem, p: np.ndarray) -> float:
    """Return the largest distance of p from the maximum by quadrature, in standard errors."""
    value = exact(np.asarray(curved.data))
    best = minimize(lambda p: -value(p), TRUTH, method="BFGS").x
    slopes = [
        approx_fprime(best + 1e-3 * step, value) - approx_fprime(best - 1e-3 * step, value)
        for step in np.eye(5)
    ]
    error = np.sqrt(np.diag(np.linalg.inv(-np.array(slopes) / 2e-3)))
    return float(np.abs((p - best) / error).max())


@pytest.mark.full
@parameters("own_inputs", [False], full=[True])
def test_the_estimate_is_the_maximum_by_quadrature(curved, own_inputs):
    # Draws about the modes end 3 standard errors from it, at a likelihood that is 7 lower.
    if own_inputs:
        curved = with_inputs(curved)
    found = fit_marginal_likelihood(curved, TRUTH, rough=True).p
    # The error of 512 draws, and with inputs of 512 draws of the law that find the arms.
    assert off_the_maximum(curved, found) < (0.3 if own_inputs else 0.1)


def test_a_value_by_draws_that_miss_a_part_is_seen(curved, monkeypatch):
    monkeypatch.setattr(marginal, "_MISSED", 1.0)
    settings = MarginalSettings(draws=128)
    here = likelihood_near(curved, TRUTH, settings).here
    none, zeros = np.zeros(0, dtype=int), np.zeros((5, 5))
    value = {"value": float(here.log_likelihood.sum())}
    estimate = Estimate(
        TRUTH, zeros, zeros, here.scores, True, True, "", zeros, TRUTH[None], diagnostics=value
    )
    judged = with_value(curved, estimate, settings, here.memory, none, 0.0, 0.0)
    assert not judged.passes
    assert judged.reason.startswith("wider draws find a log likelihood that is larger by")


@pytest.mark.full
def test_an_estimate_whose_draws_miss_a_part_is_right_or_does_not_pass(curved, monkeypatch):
    monkeypatch.setattr(marginal, "_MISSED", 1.0)
    found = fit_marginal_likelihood(curved, TRUTH)
    assert off_the_maximum(curved, found.p) < 0.1 or not found.passes


@pytest.mark.full
def test_the_missed_share_is_that_of_a_grid(curved):
    settings = MarginalSettings()
    block = integrals_at(curved, TRUTH)
    modes = block.find_modes(settings, None)
    draws = draws_of_law(curved, "tails", None, 4096)
    value = torch.from_numpy(evaluate(curved, TRUTH, settings).log_likelihood)
    axis = torch.linspace(-5, 5, 201, dtype=torch.float64)
    grid = torch.cartesian_prod(axis, axis)
    y = signal(torch.from_numpy(TRUTH[:2]) + torch.exp(torch.from_numpy(TRUTH[2:4])) * grid)
    data = torch.from_numpy(np.asarray(curved.data))
    log = -0.5 * (((data[:, None] - y) / np.exp(TRUTH[4])) ** 2).sum(dim=2)
    log = log - 0.5 * (grid**2).sum(dim=1)
    mass = torch.softmax(log, dim=1)
    log_posterior = torch.log(mass / (axis[1] - axis[0]) ** 2)
    distance = ((grid - modes.omega[:, None]) @ torch.linalg.cholesky(modes.hessian)) ** 2
    log_density = -0.5 * distance.sum(dim=2) - np.log(2 * np.pi)
    log_density += 0.5 * torch.logdet(modes.hessian)[:, None]
    wanted = torch.where(log_posterior > log_density + np.log(8), mass, 0).sum(dim=1)
    found = block.missed(modes, value, draws, block.push_forward(draws))
    each = block.missed(modes, value, draws, None)
    assert float(wanted.mean()) > 0.05
    torch.testing.assert_close(each, found)
    assert float(found.mean()) == pytest.approx(float(wanted.mean()), rel=0.2)
    assert np.mean((found > 0.03).numpy() == (wanted > 0.03).numpy()) > 0.97
