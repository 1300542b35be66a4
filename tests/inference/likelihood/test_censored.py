"""Observations below a limit of quantification, against dense quadrature by SciPy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from problems import pseudo_likelihood
from scipy import integrate, optimize, stats
from slopes import slopes
from tiers import parameters, thinned

from popinv.inference.density.conditions import Conditions
from popinv.inference.density.problem import Problem
from popinv.inference.estimators.fit_marginal import fit_marginal_likelihood
from popinv.inference.estimators.fit_pseudo import fit_pseudo_likelihood
from popinv.inference.integrate import marginal, pseudo
from popinv.inference.integrate.marginal import MarginalSettings
from popinv.inference.integrate.model_moments import matched_draws, moments_of_systems
from popinv.population.laws.gaussian import normal_law
from popinv.population.limits import Limits
from popinv.population.noise.base import NoiseModel
from popinv.population.noise.terms import Noise, Size, composed
from popinv.population.noise.unstructured import IsotropicNoise

TIMES, LIMIT = np.array([0.5, 1.0, 2.0, 3.0, 5.0]), 0.6
LAW = normal_law(["rate"])
ALPHA = LAW.from_natural([-0.3, 0.4])
NOISES = {
    "isotropic": IsotropicNoise(5),
    "combined": Noise(IsotropicNoise(5), Size("combined")),
}
VALUES = {"standard_deviation": 0.25, "proportional": 0.15}


def simulate(z: torch.Tensor) -> torch.Tensor:
    """Return 5 exp(-e^z t)."""
    return 5 * torch.exp(-torch.exp(z[:, :1]) * torch.from_numpy(TIMES))


def problem_of(family: NoiseModel, count: int) -> Problem:
    noise = composed(family)
    rng = np.random.default_rng(1)
    gamma = torch.from_numpy(noise.from_natural({n: VALUES[n] for n in noise.names}))
    clean = simulate(LAW.sample(torch.from_numpy(ALPHA), torch.tensor(rng.normal(size=(count, 1)))))
    xi = noise.sample_given(gamma, torch.from_numpy(rng.standard_normal(clean.shape)), clean)
    data = np.maximum((clean + xi).numpy(), LIMIT)
    limits = Limits.of_arrays(data.shape, lower=LIMIT)
    conditions = Conditions.stated(data.shape, limits=limits)
    scale = np.full(2 + len(noise.names), 0.5)
    return Problem(data, simulate, LAW, noise, scale, seed=1, conditions=conditions)


def truth(problem: Problem) -> np.ndarray:
    noise = problem.noise
    return np.concatenate([ALPHA, noise.from_natural({n: VALUES[n] for n in noise.names})])


def quadrature(problem: Problem, p: np.ndarray) -> np.ndarray:
    """Return log p(y_n) of each system by Simpson's rule."""
    mean, deviation, sigma, *b = problem.natural(p)
    omega = np.linspace(-6.0, 6.0, 2001)
    g = 5 * np.exp(-np.exp(mean + deviation * omega)[:, None] * TIMES)
    d = np.sqrt(sigma**2 + (b[0] * g) ** 2) if b else sigma * np.ones_like(g)
    values = []
    for y in problem.data:
        logs = np.where(y <= LIMIT, stats.norm.logcdf(y, g, d), stats.norm.logpdf(y, g, d))
        density = np.exp(logs.sum(axis=1)) * stats.norm.pdf(omega)
        values.append(np.log(integrate.simpson(density, x=omega)))
    return np.array(values)


@pytest.mark.parametrize("name", NOISES)
def test_the_marginal_likelihood_is_that_of_quadrature(name):
    problem = problem_of(NOISES[name], 8)
    assert 0.2 < np.mean(problem.data <= LIMIT) < 0.6
    p = truth(problem) + 0.1
    evaluation = marginal.evaluate(problem, p, MarginalSettings(draws=8000))
    np.testing.assert_allclose(evaluation.log_likelihood, quadrature(problem, p), atol=0.03)
    slopes = optimize.approx_fprime(p, lambda q: quadrature(problem, q).sum(), 1e-6)
    errors = np.sqrt((evaluation.score_error**2).sum(axis=0))
    np.testing.assert_allclose(evaluation.scores.sum(axis=0), slopes, atol=0.02 + 4 * errors.max())


@pytest.mark.parametrize("name", NOISES)
def test_the_moments_are_those_of_a_censored_sample(name):
    problem = problem_of(NOISES[name], 50)
    p, rng = torch.from_numpy(truth(problem)), np.random.default_rng(5)
    omega, e = (torch.from_numpy(rng.standard_normal((200_000, k))) for k in (1, 5))
    sample = problem.model(p, omega, e, np.arange(200_000) % 50).numpy()
    draws = matched_draws(problem)
    own = moments_of_systems(problem, p[:2], p[2:], draws, False)
    np.testing.assert_allclose(sample.mean(axis=0), own.mean[0].numpy(), atol=0.01)
    whole = (own.signal + own.noise)[0].numpy()
    np.testing.assert_allclose(np.cov(sample, rowvar=False), whole, atol=0.02 * whole.max())

    at = pseudo_likelihood(problem, draws)
    exact = slopes(lambda q: at(q).log_likelihood.sum(), p.numpy(), 1e-3)
    np.testing.assert_allclose(at(p.numpy()).scores.sum(axis=0), exact, rtol=1e-3, atol=0.02)


@parameters("name", *thinned(NOISES, 2))
def test_systems_with_other_scales_or_limits_have_moments_of_their_own(name):
    problem = problem_of(NOISES[name], 6)
    scale = np.array([0.5, 2.0, 0.5, 2.0, 1.0, 1.0])
    limits = np.full((6, 5), LIMIT) + np.array([0.0, 0.0, 0.3, 0.0, 0.0, 0.0])[:, None]
    own = Limits.of_arrays(limits.shape, lower=limits)
    problem = replace(problem, conditions=Conditions.stated((6, 5), scale=scale, limits=own))
    p = truth(problem)
    alpha, gamma = (torch.from_numpy(part) for part in problem.split(p))
    draws = matched_draws(problem, 10_000)
    moments = moments_of_systems(problem, alpha, gamma, draws)
    index = moments.index(problem)
    groups = {tuple(np.flatnonzero(index == k)): k for k in range(len(moments))}
    assert set(groups) == {(0,), (1, 3), (2,), (4, 5)}
    rng = np.random.default_rng(5)
    for systems, own in groups.items():
        omega, e = (torch.from_numpy(rng.standard_normal((60_000, n))) for n in (1, 5))
        y = problem.model(torch.from_numpy(p), omega, e, np.full(60_000, systems[0])).numpy()
        # Standard errors of means and covariances of 60,000 draws, times five.
        np.testing.assert_allclose(moments.mean[own], y.mean(axis=0), atol=5 * y.std() / 245)
        found = (moments.signal + moments.noise)[own].numpy()
        np.testing.assert_allclose(found, np.cov(y.T), atol=0.02, rtol=0.02)
    # The scores are the derivatives of the values, in which scale and limits are each system's own.
    value = pseudo.evaluate(problem, moments)
    at = pseudo_likelihood(problem, draws)
    exact = slopes(lambda q: at(q).log_likelihood, p, 1e-4)
    np.testing.assert_allclose(value.scores, exact, rtol=1e-3, atol=1e-3)


@pytest.mark.full
def test_both_estimates_come_close_to_the_truth():
    problem = problem_of(NOISES["combined"], 150)
    p = truth(problem)
    first = fit_pseudo_likelihood(problem, [p + 0.2])
    best = fit_marginal_likelihood(problem, first.p, MarginalSettings(draws=64))
    for estimate in (first, best):
        assert estimate.passes, estimate.reason
        assert np.all(np.abs(estimate.p - p) < 3.5 * estimate.standard_errors)
