"""The likelihoods of a free-form law: values and scores by quadrature, and the penalty."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from bent_population import by_sum
from scipy import optimize

from popinv.inference.density.problem import Problem
from popinv.inference.estimators.fit_marginal import fit_marginal_likelihood
from popinv.inference.estimators.fit_pseudo import fit_pseudo_likelihood
from popinv.inference.integrate import marginal
from popinv.inference.integrate.marginal import MarginalSettings
from popinv.inference.integrate.penalty import penalty_at
from popinv.population.constraints import REAL
from popinv.population.laws.free_form import FreeFormLaw
from popinv.population.laws.gaussian import GaussianLaw
from popinv.population.noise.unstructured import IsotropicNoise

LAW = FreeFormLaw(["a"], [REAL], 5, 1.0, True)
DESIGN = torch.tensor([[1.0, 0.5]], dtype=torch.float64)


def problem_of(law, count: int, seed: int = 2) -> Problem:
    rng = np.random.default_rng(seed)
    z = rng.standard_normal((count, 1))
    data = z @ DESIGN.numpy() + 0.3 * rng.standard_normal((count, 2))
    size = len(law.names) + 1
    return Problem(data, lambda z: z @ DESIGN, law, IsotropicNoise(2), scale=np.full(size, 0.5))


def by_quadrature(problem: Problem, p: np.ndarray) -> np.ndarray:
    """Return log p(y_n) of each system, by the trapezoidal rule in omega."""
    omega = torch.linspace(-8, 8, 4001).double()
    alpha, gamma = problem.split(p)
    clean = problem.signal(torch.from_numpy(alpha), omega[:, None]).numpy()
    x = omega.numpy()
    log_weights = -0.5 * x**2 - 0.5 * np.log(2 * np.pi) + np.log(x[1] - x[0])
    return by_sum(problem.data, clean, log_weights, np.exp(gamma[0]))


def test_value_and_scores_are_those_of_quadrature():
    problem = problem_of(LAW, 8)
    p = np.array([0.2, -0.1, 0.5, -0.8, 0.3, -0.4, 0.6, np.log(0.35)])
    evaluation = marginal.evaluate(problem, p, MarginalSettings(draws=20_000))
    np.testing.assert_allclose(evaluation.log_likelihood, by_quadrature(problem, p), atol=0.02)
    slopes = optimize.approx_fprime(p, lambda q: by_quadrature(problem, q).sum(), 1e-5)
    np.testing.assert_allclose(evaluation.scores.sum(axis=0), slopes, atol=0.2)


def test_penalty_is_half_the_sum_of_squares_of_the_coefficients():
    problem = problem_of(LAW, 8)
    p = np.arange(8) / 10
    penalty = penalty_at(problem, p)
    assert penalty.value == pytest.approx(0.5 * (p[2:7] ** 2).sum())
    np.testing.assert_allclose(penalty.gradient, [0, 0, *p[2:7], 0])
    np.testing.assert_allclose(np.diag(penalty.curvature), [0, 0, 1, 1, 1, 1, 1, 0])


def test_two_moments_leave_the_shape_to_its_prior():
    problem = problem_of(LAW, 100)
    start = np.array([0.1, 0.1, 0.5, -0.8, 0.3, -0.4, 0.6, np.log(0.35)])
    estimate = fit_pseudo_likelihood(problem, [start])
    gaussian = fit_pseudo_likelihood(
        problem_of(GaussianLaw(["a"], [REAL]), 100), [start[[0, 1, 7]]]
    )
    # A linear model's mean and covariance do not depend on the shape, up to the error of the draws.
    np.testing.assert_allclose(estimate.p[[0, 1, 7]], gaussian.p, atol=0.01)
    assert np.all(np.abs(estimate.p[2:7]) < 0.1)
    np.testing.assert_allclose(estimate.standard_errors[2:7], 1.0, rtol=0.05)


@pytest.mark.full
def test_a_normal_population_is_recovered_as_by_the_gaussian_law():
    settings = MarginalSettings(draws=64)
    free = fit_marginal_likelihood(problem_of(LAW, 300), np.array([0.0] * 7 + [-1.0]), settings)
    law = GaussianLaw(["a"], [REAL])
    gaussian = fit_marginal_likelihood(problem_of(law, 300), np.array([0.0, 0.0, -1.0]), settings)
    moved = np.abs(free.p[[0, 1, 7]] - gaussian.p) / gaussian.standard_errors
    assert np.all(moved < 0.5)
    ratio = free.standard_errors[[0, 1, 7]] / gaussian.standard_errors
    assert np.all((ratio > 0.9) & (ratio < 1.25)), ratio
