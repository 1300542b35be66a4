"""Likelihoods with noise that grows or has heavy tails, against dense quadrature by SciPy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from linear_population import TRUTH, exact_scores, linear_problem
from problems import pseudo_likelihood
from scipy import integrate, optimize, stats
from slopes import slopes

from popinv.inference.density.conditions import Conditions
from popinv.inference.density.problem import Problem
from popinv.inference.estimators.fit_marginal import fit_marginal_likelihood
from popinv.inference.estimators.fit_pseudo import fit_pseudo_likelihood
from popinv.inference.integrate import marginal
from popinv.inference.integrate.marginal import MarginalSettings
from popinv.inference.integrate.model_moments import matched_draws, moments_of_systems
from popinv.population.known import Known
from popinv.population.laws.gaussian import normal_law
from popinv.population.noise.base import NoiseModel
from popinv.population.noise.terms import Noise, Size, composed
from popinv.population.noise.time_series import AutoregressiveNoise
from popinv.population.noise.unstructured import IsotropicNoise

TIMES = np.array([0.5, 1.0, 2.0, 3.0])
LAW = normal_law(["rate"])
ALPHA = LAW.from_natural([-0.5, 0.4])
VALUES = {
    "standard_deviation": 0.2,
    "correlation": 0.5,
    "proportional": 0.15,
    "degrees_of_freedom": 4.0,
}
ISOTROPIC, SERIES = IsotropicNoise(4), AutoregressiveNoise(1, 4, 1)
NOISES = {
    "combined": Noise(ISOTROPIC, Size("combined")),
    "proportional": Noise(ISOTROPIC, Size("proportional")),
    "heavy tails": Noise(ISOTROPIC, Size("constant", heavy_tails=True)),
    "combined series": Noise(SERIES, Size("combined")),
    "combined series with heavy tails": Noise(SERIES, Size("combined", heavy_tails=True)),
}


def simulate(z: torch.Tensor) -> torch.Tensor:
    """Return 5 exp(-e^z t)."""
    return 5 * torch.exp(-torch.exp(z[:, :1]) * torch.from_numpy(TIMES))


def problem_of(family: NoiseModel, count: int, conditions: Conditions | None = None) -> Problem:
    noise = composed(family)
    rng = np.random.default_rng(0)
    gamma = torch.from_numpy(noise.from_natural({n: VALUES[n] for n in noise.names}))
    clean = simulate(LAW.sample(torch.from_numpy(ALPHA), torch.tensor(rng.normal(size=(count, 1)))))
    xi = noise.sample_given(gamma, torch.from_numpy(rng.standard_normal((count, 4))), clean)
    if conditions is not None and conditions.scale is not None:
        xi = torch.from_numpy(conditions.scale)[:, None] * xi
    data = (clean + xi).numpy()
    scale = np.full(2 + len(noise.names), 0.5)
    return Problem(data, simulate, LAW, noise, scale, seed=1, conditions=conditions)


def truth(problem: Problem) -> np.ndarray:
    noise = problem.noise
    return np.concatenate([ALPHA, noise.from_natural({n: VALUES[n] for n in noise.names})])


def quadrature(problem: Problem, p: np.ndarray) -> np.ndarray:
    """Return log p(y_n) of each system by Simpson's rule, from SciPy's densities."""
    natural = dict(zip((*LAW.names, *problem.noise.names), problem.natural(p), strict=True))
    omega = np.linspace(-6.0, 6.0, 2001)
    x = natural["rate_mean"] + natural["rate_standard_deviation"] * omega
    g = 5 * np.exp(-np.exp(x)[:, None] * TIMES)
    sigma, b = natural["standard_deviation"], natural.get("proportional", 0.0)
    d = np.sqrt(sigma**2 + (b * g) ** 2)
    if problem.noise.grows == "proportional":
        d = sigma * g
    lags = np.abs(np.subtract.outer(range(4), range(4)))
    root = np.linalg.cholesky(natural.get("correlation", 0.0) ** lags)
    nu = natural.get("degrees_of_freedom")
    law = stats.norm() if nu is None else stats.t(nu, scale=np.sqrt((nu - 2) / nu))
    values = []
    for n, y in enumerate(problem.data):
        here = problem.conditions
        seen = np.ones(4, bool) if here is None or here.present is None else here.present[n]
        scale = 1.0 if here is None or here.scale is None else here.scale[n]
        r = np.linalg.solve(root, ((y - g) / d / scale).T).T
        logs = law.logpdf(r) - np.log(scale * d) - np.log(np.diag(root))
        density = np.exp(logs[:, seen].sum(axis=1)) * stats.norm.pdf(omega)
        values.append(np.log(integrate.simpson(density, x=omega)))
    return np.array(values)


@pytest.mark.parametrize("name", NOISES)
def test_the_marginal_likelihood_is_that_of_quadrature(name):
    problem = problem_of(NOISES[name], 6)
    p = truth(problem) + 0.1
    evaluation = marginal.evaluate(problem, p, MarginalSettings(draws=8000))
    np.testing.assert_allclose(evaluation.log_likelihood, quadrature(problem, p), atol=0.03)
    assert evaluation.effective_share.min() > 0.4
    slopes = optimize.approx_fprime(p, lambda q: quadrature(problem, q).sum(), 1e-6)
    errors = np.sqrt((evaluation.score_error**2).sum(axis=0))
    np.testing.assert_allclose(evaluation.scores.sum(axis=0), slopes, atol=0.02 + 4 * errors.max())


def test_where_the_noise_hardly_varies_scores_of_a_linear_model_are_exact():
    plain = replace(linear_problem(20), noise=IsotropicNoise(6), scale=np.full(5, 0.5))
    varying = replace(
        plain, noise=Noise(IsotropicNoise(6), Size("combined")), scale=np.full(6, 0.5)
    )
    p = np.append(TRUTH[:5] + 0.1, np.log(1e-4))
    evaluation = marginal.evaluate(varying, p, MarginalSettings(draws=16))
    exact = exact_scores(plain, p[:5])[:, :4]
    # As for noise that does not vary: control variates leave the error of the modes alone.
    np.testing.assert_allclose(evaluation.scores[:, :4], exact, atol=3e-4)
    assert np.abs(evaluation.score_error[:, :4]).max() < 3e-4


def test_scales_and_gaps_of_systems_enter_the_marginal_likelihood():
    rng = np.random.default_rng(2)
    present = rng.random((6, 4)) < 0.7
    present[:, 0] = True
    conditions = Conditions.stated(
        (6, 4), scale=rng.uniform(0.5, 2.0, 6), present=present, fill=np.zeros(4)
    )
    for name in ("combined", "heavy tails"):
        problem = problem_of(NOISES[name], 6, conditions)
        p = truth(problem)
        evaluation = marginal.evaluate(problem, p, MarginalSettings(draws=8000))
        np.testing.assert_allclose(evaluation.log_likelihood, quadrature(problem, p), atol=0.03)


def test_the_score_of_a_correlation_of_zero_is_its_slope():
    """There the noise is independent, and its change has no entry on the diagonal."""
    problem = problem_of(SERIES, 6)
    p = truth(problem)
    p[-1] = 0.0
    settings = MarginalSettings(draws=2000)
    shift = np.array([0.0, 0.0, 0.0, 1e-3])
    up, down = (marginal.evaluate(problem, p + s, settings) for s in (shift, -shift))
    slopes = (up.log_likelihood - down.log_likelihood) / 2e-3
    scores = marginal.evaluate(problem, p, settings).scores
    np.testing.assert_allclose(scores[:, 3], slopes, atol=0.02)


@pytest.mark.parametrize("name", NOISES)
def test_the_scores_of_the_pseudo_likelihood_are_its_slopes(name):
    problem = problem_of(NOISES[name], 50)
    p, at = truth(problem), pseudo_likelihood(problem, matched_draws(problem))
    exact = slopes(lambda q: at(q).log_likelihood.sum(), p, 1e-3)
    np.testing.assert_allclose(at(p).scores.sum(axis=0), exact, rtol=1e-3, atol=0.02)


def test_a_covariate_scales_the_noise_of_its_systems():
    x = np.random.default_rng(3).choice([-1.0, 0.0, 2.0], size=(30, 1))
    given = Known.of_arrays(np.empty((30, 0)), x)
    plain = problem_of(
        NOISES["combined"], 30, Conditions.stated((30, 4), scale=np.exp(0.4 * x[:, 0]))
    )
    noise = Noise(ISOTROPIC, Size("combined", covariates=["age"], columns=[0]))
    assert noise.names[-1] == "noise_age_coefficient"
    problem = replace(plain, noise=noise, conditions=Conditions.stated((30, 4), known=given))
    p, settings = truth(plain), MarginalSettings(draws=64)
    q = np.append(p, 0.4)
    # The draws are the same, and so are the likelihoods, but for rounding.
    expected = marginal.evaluate(plain, p, settings)
    found = marginal.evaluate(problem, q, settings)
    np.testing.assert_allclose(found.log_likelihood, expected.log_likelihood, rtol=1e-6)
    np.testing.assert_allclose(found.scores[:, :4], expected.scores, rtol=1e-4, atol=1e-4)
    # The deviations of a system change by x times the coefficient.
    both = found.scores[:, 2] + found.scores[:, 3]
    np.testing.assert_allclose(found.scores[:, 4], x[:, 0] * both, rtol=1e-4, atol=1e-4)


def test_the_moments_are_those_of_a_sample():
    problem = problem_of(NOISES["combined series with heavy tails"], 4)
    p, rng = torch.from_numpy(truth(problem)), np.random.default_rng(5)
    omega, e = (torch.from_numpy(rng.standard_normal((400_000, k))) for k in (1, 4))
    sample = np.cov(problem.model(p, omega, e).numpy(), rowvar=False)
    draws = matched_draws(problem)
    own = moments_of_systems(problem, p[:2], p[2:], draws, False)
    whole = (own.signal + own.noise)[0].numpy()
    np.testing.assert_allclose(sample, whole, atol=0.02 * whole.max())


@pytest.mark.full
def test_both_estimates_come_close_to_the_truth():
    problem = problem_of(NOISES["combined"], 300)
    p = truth(problem)
    first = fit_pseudo_likelihood(problem, [p + 0.3])
    best = fit_marginal_likelihood(problem, first.p, MarginalSettings(draws=64))
    for estimate in (first, best):
        assert estimate.passes, estimate.reason
        assert np.all(np.abs(estimate.p - p) < 3.5 * estimate.standard_errors)
    assert np.all(best.standard_errors < first.standard_errors)


def test_the_pseudo_likelihood_holds_the_degrees_of_freedom():
    problem = problem_of(NOISES["heavy tails"], 100)
    start = truth(problem) + 0.2
    estimate = fit_pseudo_likelihood(problem, [start])
    assert estimate.p[3] == start[3]
    assert estimate.standard_errors[3] == 0
    assert np.all(estimate.standard_errors[:3] > 0)
