"""Where the model is linear in what varies, the likelihood is exact, and so are its errors."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from linear_population import TRUTH, exact_log_likelihood, exact_scores, linear_problem
from scipy.optimize import minimize
from slopes import curvature

from popinv.inference.density.problem import Problem
from popinv.inference.estimators.closed_form import is_linear
from popinv.inference.estimators.fit_marginal import fit_marginal_likelihood
from popinv.inference.uncertainty.standard_errors import FEW_SYSTEMS
from popinv.population.constraints import POSITIVE, REAL
from popinv.population.laws.gaussian import GaussianLaw, lognormal_law, normal_law
from popinv.population.laws.mixture import MixtureLaw
from popinv.population.noise.unstructured import IsotropicNoise


@pytest.mark.parametrize(("scales", "gaps"), [(False, False), (True, True)])
def test_the_estimate_is_the_exact_maximum_without_an_error_of_draws(scales, gaps):
    problem = linear_problem(60, scales=scales, gaps=gaps)
    estimate = fit_marginal_likelihood(problem, TRUTH + 0.2)
    assert estimate.passes, estimate.reason
    top = minimize(
        lambda p: -exact_log_likelihood(problem, p).sum(),
        TRUTH,
        jac=lambda p: -exact_scores(problem, p).sum(axis=0),
        options={"gtol": 1e-4},
    )
    # An ascent ends where at most 5e-4 is left to gain, 0.03 standard errors.
    assert exact_log_likelihood(problem, estimate.p).sum() > -top.fun - 6e-4
    assert np.max(np.abs(estimate.p - top.x) / estimate.standard_errors) < 0.05
    exact = exact_log_likelihood(problem, estimate.p)
    np.testing.assert_allclose(estimate.arrays["log_likelihood"], exact, atol=1e-8)
    assert estimate.diagnostics["value"] == pytest.approx(exact.sum(), abs=1e-7)
    assert estimate.diagnostics["value_error"] == 0.0
    assert estimate.diagnostics["draws"] == 0.0
    np.testing.assert_array_equal(estimate.monte_carlo, 0.0)
    scores = exact_scores(problem, estimate.p)
    np.testing.assert_allclose(estimate.arrays["scores"], scores, atol=1e-5)


@pytest.mark.parametrize("count", [8, 40, FEW_SYSTEMS])
def test_both_kinds_of_errors_are_those_of_the_closed_form(count):
    problem = linear_problem(count, seed=1)
    estimate = fit_marginal_likelihood(problem, TRUTH)
    exact = curvature(lambda p: exact_log_likelihood(problem, p).sum(), estimate.p, 1e-4)
    model = np.linalg.inv(-exact)
    scores = exact_scores(problem, estimate.p)
    robust = model @ scores.T @ scores @ model
    assert estimate.model_covariance is not None
    assert estimate.robust_covariance is not None
    errors, robust_errors = (np.sqrt(np.diag(each)) for each in (model, robust))
    # With many systems, the squares of their scores are part of the curvature.
    close = 0.02 if count < FEW_SYSTEMS else 0.1
    found = np.sqrt(np.diag(estimate.model_covariance))
    np.testing.assert_allclose(found, errors, rtol=close)
    found = np.sqrt(np.diag(estimate.robust_covariance))
    np.testing.assert_allclose(found, robust_errors, rtol=2 * close)
    # Few systems have errors by the model, which do not rest on as few scores.
    used = estimate.model_covariance if count < FEW_SYSTEMS else estimate.robust_covariance
    np.testing.assert_array_equal(estimate.covariance, used)


def test_growing_trees_have_the_errors_that_are_exact(monkeypatch):
    """Fourteen trees of one asymptote each: a linear model of two common shape parameters."""
    ages = torch.tensor([3, 5, 10, 15, 20, 25], dtype=torch.float64)

    def height(z: torch.Tensor) -> torch.Tensor:
        asymptote, root, rate = z.unbind(1)
        shape = torch.exp(-torch.exp(rate)[:, None] * ages)
        return asymptote[:, None] + (root - asymptote)[:, None] * shape

    law = GaussianLaw(["Asym", "R0", "lrc"], [REAL] * 3, common=["R0", "lrc"])
    truth = np.array([102.12, -8.549, -3.244, np.log(3.676), np.log(0.7184)])
    scale, noise = np.array([10.0, 1.0, 0.5, 0.5, 0.5]), IsotropicNoise(6)
    omega = torch.from_numpy(np.random.default_rng(1).standard_normal((14, 1)))
    signal = height(law.sample(torch.from_numpy(truth[:4]), omega)).numpy()
    data = signal + 0.7184 * np.random.default_rng(2).standard_normal((14, 6))
    problem = Problem(data, height, law, noise, scale)
    estimate = fit_marginal_likelihood(problem, truth)
    assert estimate.passes, estimate.reason

    def lost(p: np.ndarray) -> float:
        mean = torch.from_numpy(np.array([p[:3], p[:3] + np.eye(3)[0]]))
        centre, along = height(mean).numpy()
        along = along - centre
        covariance = np.exp(2 * p[3]) * np.outer(along, along) + np.exp(2 * p[4]) * np.eye(6)
        residual = data - centre
        squares = (residual * np.linalg.solve(covariance, residual.T).T).sum()
        return 0.5 * (14 * np.linalg.slogdet(covariance)[1] + squares)

    second = curvature(lost, estimate.p, np.array([0.05, 0.01, 1e-3, 1e-2, 1e-2]))
    exact = np.sqrt(np.diag(np.linalg.inv(second)))
    np.testing.assert_allclose(estimate.standard_errors, exact, rtol=0.03)
    # The information of the means is not the expected one, as the shape is not linear in them.
    by_differences = with_differences(monkeypatch, problem, truth)
    np.testing.assert_allclose(estimate.small_sample, by_differences, rtol=1e-6)


def with_differences(monkeypatch, problem: Problem, start: np.ndarray) -> np.ndarray:
    """Return degrees of freedom and widening by differences of scores, whatever the model is."""
    name = "popinv.inference.estimators.closed_form._linear_in_means"
    monkeypatch.setattr(name, lambda *_: False)
    return fit_marginal_likelihood(problem, start).small_sample


@pytest.mark.full
def test_degrees_of_freedom_by_the_expected_information_are_those_by_differences(monkeypatch):
    problem = linear_problem(10)
    found = fit_marginal_likelihood(problem, TRUTH).small_sample
    assert np.isfinite(found).any()
    by_differences = with_differences(monkeypatch, problem, TRUTH)
    np.testing.assert_allclose(found, by_differences, rtol=1e-5)


def test_only_what_is_linear_with_gaussian_noise_is():
    line, p = linear_problem(10), TRUTH
    assert is_linear(line, p)
    bent = replace(line, simulate=lambda z: line.simulate(z) + 1e-3 * z[:, :1] ** 2)
    assert not is_linear(bent, p)
    # Constants in the parameters' common part do not matter.
    moved = replace(line, simulate=lambda z: line.simulate(z) + 7.0)
    assert is_linear(moved, p)

    def first(z: torch.Tensor) -> torch.Tensor:
        return z[:, :1].expand(-1, 6)

    noise, data = IsotropicNoise(6), line.data
    amplitude = Problem(data, first, normal_law(["a"]), noise, np.full(3, 0.5))
    at = np.array([0.5, -0.5, -1.0])
    assert is_linear(amplitude, at)
    # The logarithm of the amplitude is normal: no.
    assert not is_linear(replace(amplitude, law=lognormal_law(["a"])), at)
    mixture = MixtureLaw(["a"], [REAL], 2)
    wide = replace(amplitude, law=mixture, scale=np.full(6, 0.5))
    assert not is_linear(wide, np.append(mixture.from_natural([0.5, 0.0, 1, 1, 1]), -1.0))
    # A curve of which only the amplitude varies.
    law = GaussianLaw(["a", "k"], [REAL, POSITIVE], common=["k"])

    def decay(z: torch.Tensor) -> torch.Tensor:
        times = torch.linspace(0, 2, 6, dtype=torch.float64)
        return z[:, :1] * torch.exp(-z[:, 1:] * times)

    common = Problem(data, decay, law, noise, np.full(4, 0.5))
    assert is_linear(common, np.array([1.0, 0.2, -1.0, -1.0]))
