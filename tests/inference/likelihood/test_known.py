"""Estimates of systems with design and covariates, against the closed form of a linear model."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from linear_population import normal_log_density
from scipy import optimize
from slopes import slopes

from popinv.inference.density.conditions import Conditions
from popinv.inference.density.problem import Problem
from popinv.inference.estimators.fit_marginal import fit_marginal_likelihood
from popinv.inference.estimators.fit_pseudo import fit_pseudo_likelihood
from popinv.inference.integrate import marginal, pseudo
from popinv.inference.integrate.marginal import MarginalSettings
from popinv.inference.integrate.model_moments import matched_draws, moments_of_systems
from popinv.inference.integrate.push_forward import PushForward
from popinv.inference.uncertainty.scores import pseudo_scores
from popinv.population.known import Known
from popinv.population.laws.gaussian import lognormal_law, normal_law
from popinv.population.noise.unstructured import IsotropicNoise

TIMES = np.array([0.0, 0.5, 1.0, 2.0])
LAW = normal_law(
    ["level", "slope"], groups=[["level", "slope"]], covariates=["age"], effects=[("slope", "age")]
)
# Means, standard deviations, coefficient and correlation; then the noise.
TRUTH = np.array([1.0, -0.5, 0.8, 0.4, 0.3, 0.5, 0.2])


def simulate(x: torch.Tensor) -> torch.Tensor:
    """Return level + slope x dose x time for the inputs (level, slope, dose)."""
    return x[:, :1] + x[:, 1:2] * x[:, 2:] * torch.from_numpy(TIMES)


def closed_form(p: np.ndarray, problem: Problem) -> np.ndarray:
    """Return log p(y_n) of each system."""
    natural = problem.natural(p)
    mean, deviation, slope_of_age, correlation, noise = np.split(natural, [2, 4, 5, 6])
    cross = correlation[0] * deviation[0] * deviation[1]
    covariance = np.array([[deviation[0] ** 2, cross], [cross, deviation[1] ** 2]])
    doses, ages = problem.known.design[:, 0], problem.known.covariates[:, 0]
    A = np.stack([np.ones((len(doses), 4)), doses[:, None] * TIMES], axis=2)
    means = mean + np.outer(ages, [0.0, slope_of_age[0]])
    whole = A @ covariance @ A.mT + noise[0] ** 2 * np.eye(4)
    residual = problem.data - (A @ means[..., None])[..., 0]
    return normal_log_density(residual, whole, problem.conditions.present)


def problem_of(count: int, doses: tuple[float, ...] = (0.5, 1.0, 2.0)) -> Problem:
    rng = np.random.default_rng(3)
    known = Known.of_arrays(
        rng.choice(doses, size=(count, 1)), np.round(rng.standard_normal((count, 1)), 1)
    )
    noise = IsotropicNoise(4)
    alpha, gamma = LAW.from_natural(TRUTH[:6]), noise.from_natural({"standard_deviation": 0.2})
    x = LAW.sample(
        torch.from_numpy(alpha), torch.from_numpy(rng.standard_normal((count, 2))), known.covariates
    )
    clean = simulate(torch.cat([x, known.design], dim=1)).numpy()
    present = rng.random((count, 4)) < 0.8
    present[:, 0] = True
    data = np.where(present, clean + 0.2 * rng.standard_normal(clean.shape), 0.0)
    conditions = Conditions.stated(data.shape, present=present, fill=np.zeros(4), known=known)
    problem = Problem(
        data, simulate, LAW, noise, scale=np.full(7, 0.5), seed=1, conditions=conditions
    )
    assert np.allclose(problem.natural(np.concatenate([alpha, gamma])), TRUTH)
    return problem


def truth(problem: Problem) -> np.ndarray:
    return np.concatenate(
        [LAW.from_natural(TRUTH[:6]), problem.noise.from_natural({"standard_deviation": 0.2})]
    )


def test_the_marginal_likelihood_is_the_closed_form():
    problem = problem_of(60)
    p = truth(problem) + 0.1
    evaluation = marginal.evaluate(problem, p, MarginalSettings(draws=64))
    # The Laplace proposals of a linear model are exact, but for the tolerance of the modes.
    np.testing.assert_allclose(evaluation.log_likelihood, closed_form(p, problem), atol=1e-4)
    slopes = optimize.approx_fprime(p, lambda q: closed_form(q, problem).sum(), 1e-6)
    np.testing.assert_allclose(evaluation.scores.sum(axis=0), slopes, rtol=1e-3, atol=1e-3)


def test_the_pseudo_likelihood_is_the_closed_form():
    problem = problem_of(60)
    p = truth(problem) + 0.1
    alpha, gamma = (torch.from_numpy(part) for part in problem.split(p))
    moments = moments_of_systems(problem, alpha, gamma, matched_draws(problem))
    evaluation = pseudo.evaluate(problem, moments)
    # Matched draws give the moments of a linear model without error.
    np.testing.assert_allclose(evaluation.log_likelihood, closed_form(p, problem), atol=1e-8)
    slopes = optimize.approx_fprime(p, lambda q: closed_form(q, problem).sum(), 1e-6)
    np.testing.assert_allclose(evaluation.scores.sum(axis=0), slopes, rtol=1e-3, atol=1e-3)


def test_systems_with_equal_known_quantities_share_their_moments():
    problem = problem_of(60)
    rows = np.column_stack([problem.known.design, problem.known.covariates])
    alpha, gamma = (torch.from_numpy(part) for part in problem.split(truth(problem)))
    moments = moments_of_systems(problem, alpha, gamma, matched_draws(problem))
    assert len(moments) == len(np.unique(rows, axis=0)) < 60


@pytest.mark.parametrize("draws", [None, 4000])
def test_scores_of_systems_with_known_quantities_of_their_own(draws):
    problem, others = problem_of(60), problem_of(12, doses=(0.7, 1.0, 1.5))
    p = truth(problem) + 0.1
    found = pseudo_scores(problem, p, draws)(others)
    expected = slopes(lambda q: closed_form(q, others), p, 1e-6)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)
    assert not set(others.conditions.groups[0]) <= set(problem.conditions.groups[0])
    # The scores of a system do not depend on whose they are.
    alone = pseudo_scores(problem, p, draws)(problem.of_systems(np.arange(5)))
    again = pseudo_scores(others, p, draws)(problem.of_systems(np.arange(5)))
    np.testing.assert_allclose(alone, again, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("fit", ["pseudo", "marginal"])
def test_both_estimates_are_the_maximum_of_the_closed_form(fit):
    problem = problem_of(80)
    start = truth(problem)
    best = optimize.minimize(lambda q: -closed_form(q, problem).sum(), start, method="BFGS").x
    if fit == "pseudo":
        estimate = fit_pseudo_likelihood(problem, [start])
    else:
        estimate = fit_marginal_likelihood(problem, start, MarginalSettings(draws=64))
    assert estimate.passes
    # The ascent stops where the next step promises a gain of 5e-4, about 0.03 standard errors.
    assert np.all(np.abs(estimate.p - best) < 0.06 * estimate.standard_errors)


def test_few_systems_arrive_by_the_observed_curvature():
    problem = problem_of(14)
    start = truth(problem) + 0.3
    estimate = fit_marginal_likelihood(problem, start, MarginalSettings(draws=64))
    best = optimize.minimize(lambda q: -closed_form(q, problem).sum(), start, method="BFGS").x
    assert estimate.arrived
    assert np.all(np.abs(estimate.p - best) < 0.06 * estimate.standard_errors)


@pytest.mark.parametrize("law", [normal_law, lognormal_law])
def test_derivatives_where_the_deviation_depends_on_a_covariate(law):
    spread = law(["level", "slope"], covariates=["age"], scale_effects=[("slope", "age")])
    known = Known.of_arrays(np.array([[0.5], [1.0], [2.0]]), np.array([[-1.0], [0.5], [1.0]]))
    problem = Problem(
        np.zeros((3, 4)), simulate, spread, IsotropicNoise(4), scale=np.full(6, 0.5), seed=1,
        conditions=Conditions.stated((3, 4), known=known),
    )  # fmt: skip
    alpha = torch.tensor([0.1, -0.5, -0.2, -0.7, 0.6], dtype=torch.float64)
    omega = torch.from_numpy(np.random.default_rng(5).standard_normal((3, 2)))
    push_forward = PushForward(problem, alpha, known)

    def inputs(a: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        return spread.sample_given(a, w, known.covariates)

    jacobian_of = torch.autograd.functional.jacobian
    every = jacobian_of(lambda a: inputs(a, omega), alpha)

    def in_omega(a: torch.Tensor) -> torch.Tensor:
        return jacobian_of(lambda w: inputs(a, w).sum(dim=0), omega, create_graph=True)

    of_omega, second = in_omega(alpha), jacobian_of(in_omega, alpha)
    first, mixed = push_forward.law_derivatives(omega)
    torch.testing.assert_close(first, every, rtol=1e-7, atol=1e-8)
    torch.testing.assert_close(mixed, second.permute(3, 1, 0, 2), rtol=1e-4, atol=1e-5)
    move = torch.from_numpy(np.random.default_rng(6).standard_normal((3, 2)))
    units = torch.eye(5, dtype=torch.float64)
    for entry in range(5):
        exact = torch.autograd.functional.jvp(
            lambda a, w: problem.signal(a, w, known), (alpha, omega), (units[entry], move)
        )[1]
        found = push_forward.along(omega, entry, move)
        torch.testing.assert_close(found, exact, rtol=1e-6, atol=1e-8)
    _, jacobian = push_forward.linearise(omega)
    by_input = torch.stack([torch.ones(3, 4), known.design * torch.from_numpy(TIMES)], dim=2)
    expected = by_input.double() @ of_omega.detach().permute(1, 0, 2)
    torch.testing.assert_close(jacobian, expected, rtol=1e-7, atol=1e-8)
