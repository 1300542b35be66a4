"""The maximum likelihood estimate of a mixture, against quadrature."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from bent_population import by_sum
from scipy.optimize import minimize
from slopes import curvature, slopes
from tiers import parameters

from popinv.inference.density.problem import Problem
from popinv.inference.estimators.estimate import Estimate
from popinv.inference.estimators.fit_marginal import fit_marginal_likelihood
from popinv.inference.estimators.fit_pseudo import fit_pseudo_likelihood
from popinv.inference.estimators.polish import polish
from popinv.inference.estimators.settings import PolishSettings
from popinv.inference.integrate.components import Split
from popinv.inference.integrate.model_moments import matched_draws, moments_of_systems
from popinv.inference.uncertainty.surrogate_bias import FreshSolves
from popinv.population.constraints import POSITIVE, REAL
from popinv.population.laws.mixture import MixtureLaw
from popinv.population.noise.unstructured import IsotropicNoise

TIMES = torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64)
LAW = MixtureLaw(["x"], [REAL], 2)
# Weight of the first, its mean, the increment of the second's, and deviations.
START = np.append(LAW.from_natural([0.5, -1.0, 1.0, 0.5, 0.5]), np.log(0.08))
GRID = np.linspace(-4.0, 4.0, 401)


class Growth:
    """A curve whose logarithm is half of x, known without error."""

    exact = True

    def __call__(self, z: torch.Tensor) -> torch.Tensor:
        return torch.exp(0.5 * z[:, :1]) * TIMES / (1 + TIMES)


@cache
def two_kinds(count: int) -> Problem:
    """Return systems of which three tenths are of another kind."""
    rng, simulate = np.random.default_rng(0), Growth()
    other = rng.random(count) < 0.3
    x = np.where(other, rng.normal(-1.5, 0.3, count), rng.normal(0.5, 0.4, count))
    data = simulate(torch.from_numpy(x[:, None])).numpy() + 0.05 * rng.normal(size=(count, 3))
    return Problem(data, simulate, LAW, IsotropicNoise(3), np.full(6, 0.5))


def by_quadrature(problem: Problem, p: np.ndarray) -> np.ndarray:
    """Return log p(y_n) on a grid of x (the trapezoidal rule, smooth and decaying)."""
    z = torch.from_numpy(GRID[:, None])
    prior = LAW.log_density(torch.from_numpy(p[:-1].copy()), z).numpy() + np.log(GRID[1] - GRID[0])
    return by_sum(problem.data, problem.simulate(z).numpy(), prior, np.exp(p[-1]))


@cache
def by_itself(count: int) -> Estimate:
    problem = two_kinds(count)
    start = fit_pseudo_likelihood(problem, [START]).p
    return fit_marginal_likelihood(problem, start)


def after_the_moments(count: int) -> Estimate:
    """Return the likelihood's estimate by the path that a study takes."""
    fresh = FreshSolves(np.zeros((1, 1)), np.zeros((1, 3)))
    answers = polish(two_kinds(count), PolishSettings(draws=32), [START], fresh, say=lambda _: None)
    assert answers.likelihood is not None
    return answers.likelihood


@parameters("way", [by_itself], full=[after_the_moments])
def test_the_estimate_is_at_the_maximum_of_quadrature(way):
    problem, estimate = two_kinds(40), way(40)
    assert estimate.passes, estimate.reason
    exact = minimize(lambda p: -by_quadrature(problem, p).sum(), estimate.p, options={"gtol": 1e-3})
    here = by_quadrature(problem, estimate.p).sum()
    assert here > -exact.fun - 0.01
    # Mean and variance of the observations do not determine five parameters. The likelihood does,
    # and holds none of them.
    errors = estimate.standard_errors
    assert np.all(errors[:-1] > 0.03)
    assert np.all(errors < 1.0)
    assert not any(ends.boundary for ends in estimate.ends.values())
    assert np.max(np.abs(estimate.p - exact.x) / errors) < 0.05
    # Errors are those of the curvature by quadrature.
    of_all = curvature(lambda p: by_quadrature(problem, p).sum(), exact.x, 1e-3)
    expected = np.sqrt(np.diag(np.linalg.inv(-of_all)))
    np.testing.assert_allclose(errors, expected, rtol=0.1)


def test_the_value_of_a_mixtures_log_likelihood_is_that_of_quadrature():
    problem, estimate = two_kinds(40), by_itself(40)
    exact = by_quadrature(problem, estimate.p).sum()
    assert estimate.diagnostics["value"] == pytest.approx(exact, abs=0.05)


def sums_of_two() -> tuple[Problem, torch.Tensor, torch.Tensor]:
    """Return three sums of two parameters of a mixture, its alpha, and the matrix of the sums."""
    law = MixtureLaw(["a", "b"], [REAL, POSITIVE], 2)
    alpha = torch.from_numpy(law.from_natural([0.6, -1.0, 0.2, 2.0, 0.8, 0.5, 0.3, 0.4, 0.2]))
    matrix = torch.tensor([[1.0, 0.5], [0.2, 1.0], [1.0, -1.0]], dtype=torch.float64)

    def simulate(z: torch.Tensor) -> torch.Tensor:
        return z @ matrix.T

    return (
        Problem(np.zeros((1, 3)), simulate, law, IsotropicNoise(3), np.full(10, 0.5)),
        alpha,
        matrix,
    )


def test_moments_of_a_linear_model_are_those_of_normal_and_lognormal_parameters():
    problem, alpha, matrix = sums_of_two()
    gamma = torch.zeros(1, dtype=torch.float64)
    found = moments_of_systems(problem, alpha, gamma, matched_draws(problem, 16_000))
    log_weights, alphas = problem.law.split(alpha)
    mean, square = torch.zeros(2).double(), torch.zeros(2, 2).double()
    for weight, own in zip(torch.exp(log_weights), alphas, strict=True):
        m, s = own[:2], torch.exp(own[2:])
        each = torch.stack([m[0], torch.exp(m[1] + s[1] ** 2 / 2)])
        spread = torch.stack([s[0] ** 2, each[1] ** 2 * torch.expm1(s[1] ** 2)])
        mean += weight * each
        square += weight * (torch.diag(spread) + torch.outer(each, each))
    covariance = matrix @ (square - torch.outer(mean, mean)) @ matrix.T
    torch.testing.assert_close(found.mean[0], matrix @ mean, rtol=0, atol=2e-3)
    torch.testing.assert_close(found.signal[0], covariance, rtol=0, atol=5e-3)


def test_derivatives_of_moments_are_their_differences():
    problem, alpha, _ = sums_of_two()
    omega = matched_draws(problem, 4000)
    gamma = torch.zeros(1, dtype=torch.float64)
    found = moments_of_systems(problem, alpha, gamma, omega)
    for i, shift in enumerate(1e-4 * torch.eye(9, dtype=torch.float64)):
        ends = alpha + shift, alpha - shift
        up, down = (moments_of_systems(problem, a, gamma, omega) for a in ends)
        for part in ("mean", "signal"):
            change = (getattr(up, part) - getattr(down, part)) / 2e-4
            slope = getattr(found, f"of_{part}")[:, i]
            torch.testing.assert_close(slope, change, rtol=1e-5, atol=1e-6)


def test_a_split_has_weights_that_add_up_and_the_derivatives_of_its_parts():
    alpha = LAW.from_natural([0.3, -1.5, 2.0, 0.3, 0.4])
    problem = two_kinds(2)
    split = Split.of(problem, alpha)
    assert split.weights.sum() == pytest.approx(1.0)
    assert split.weights[0] == pytest.approx(0.3)
    np.testing.assert_allclose(split.alphas[:, 0], [-1.5, 0.5])
    np.testing.assert_allclose(np.exp(split.alphas[:, 1]), [0.3, 0.4])
    # Derivatives of the weights cancel, whatever is changed.
    np.testing.assert_allclose(split.weights @ split.of_log_weights, 0.0, atol=1e-12)
    change = slopes(lambda a: Split.of(problem, a).alphas, alpha, 1e-5)
    np.testing.assert_allclose(change, split.of_alpha, atol=1e-8)
