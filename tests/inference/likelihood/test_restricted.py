"""Restricted maximum likelihood: against nlme, closed forms and an integral by quadrature."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from linear_population import TRUTH, exact_log_likelihood, linear_problem
from scipy.optimize import minimize, minimize_scalar
from test_real_data import problem_of

from popinv.errors import DivergenceError
from popinv.inference.density.problem import Problem
from popinv.inference.estimators.closed_form import ClosedForm
from popinv.inference.estimators.fit_marginal import fit_marginal_likelihood
from popinv.inference.estimators.restricted import Restriction
from popinv.population.constraints import REAL
from popinv.population.laws.gaussian import lognormal_law, normal_law
from popinv.population.laws.mixture import MixtureLaw
from popinv.population.noise.unstructured import IsotropicNoise


def layout(y: np.ndarray, seed: int = 1) -> Problem:
    """Return the one-way layout of observations (N, n)."""
    width, law = y.shape[1], normal_law(["level"])
    scale = np.array([y.std(), 0.5, 0.5])
    noise = IsotropicNoise(width)
    return Problem(y, lambda z: z.expand(-1, width), law, noise, scale, seed=seed)


def mean_squares(y: np.ndarray) -> tuple[float, float]:
    """Return the mean squares between and within the systems of a layout."""
    count, width = y.shape
    between = width * y.mean(axis=1).var(ddof=1)
    within = ((y - y.mean(axis=1, keepdims=True)) ** 2).sum() / (count * (width - 1))
    return float(between), float(within)


def test_rails_are_those_of_nlme():
    """lme(travel ~ 1, Rail, ~ 1 | Rail), nlme 3.1: logLik -61.0885, deviations 24.80547, 4.02078.

    R's restricted log likelihood has the same constant (?logLik.lme, and lme4 agrees).
    """
    problem, start = problem_of("rails")
    estimate = fit_marginal_likelihood(problem, start, restricted=True)
    assert estimate.passes, estimate.reason
    assert estimate.diagnostics["value"] == pytest.approx(-61.0885004, abs=1e-4)
    by_nlme = [66.5, np.log(24.8054653), np.log(4.0207794)]
    assert np.max(np.abs(estimate.p - by_nlme) / estimate.standard_errors) < 0.01
    assert np.sqrt(estimate.covariance[0, 0]) == pytest.approx(10.17104, rel=1e-3)


def test_the_point_that_is_given_stays_where_it_is():
    """The means of the law move to their maximum in a copy: the ascent goes on from its own."""
    problem, start = problem_of("rails")
    likelihood = ClosedForm(problem)
    given = start.copy()
    restriction = Restriction(problem, likelihood, np.diag([0.01, 1.0, 1.0]))
    moved, _ = restriction.profiled(given, likelihood(given).memory)
    np.testing.assert_array_equal(given, start)
    assert moved[0] == pytest.approx(66.5)
    assert moved[0] != start[0]


def restricted_closed_form(problem: Problem, theta: np.ndarray) -> float:
    """Return the restricted log likelihood of a linear population, by dense matrices."""

    def at(beta: np.ndarray) -> float:
        return float(exact_log_likelihood(problem, np.concatenate([beta, theta])).sum())

    # The log likelihood is quadratic in beta.
    unit, zero = np.eye(2), np.zeros(2)
    slope = np.array([(at(e) - at(-e)) / 2 for e in unit])
    minus = -np.array([[at(e + f) - at(e) - at(f) + at(zero) for f in unit] for e in unit])
    best = np.linalg.solve(minus, slope)
    return at(best) - 0.5 * np.linalg.slogdet(minus / (2 * np.pi))[1]


@pytest.mark.full
def test_value_maximum_and_errors_are_those_of_the_closed_form():
    problem = linear_problem(12, seed=3)
    estimate = fit_marginal_likelihood(problem, TRUTH, restricted=True)
    theta = estimate.p[2:]
    value = restricted_closed_form(problem, theta)
    assert estimate.diagnostics["value"] == pytest.approx(value, abs=1e-6)
    top = minimize(lambda t: -restricted_closed_form(problem, t), theta, options={"gtol": 1e-3})
    assert np.max(np.abs(theta - top.x) / estimate.standard_errors[2:]) < 0.01
    h = 0.02 * np.eye(4)

    @cache
    def second(i: int, j: int) -> float:
        signs = [(1, 1), (1, -1), (-1, 1), (-1, -1)]
        ends = [
            s * t * restricted_closed_form(problem, theta + s * h[i] + t * h[j]) for s, t in signs
        ]
        return -sum(ends) / (4 * 0.02**2)

    information = np.array([[second(*sorted((i, j))) for j in range(4)] for i in range(4)])
    found = np.linalg.inv(estimate.model_covariance[2:, 2:])
    np.testing.assert_allclose(found, information, rtol=0.02, atol=0.02 * information.max())


@pytest.mark.full
def test_a_positive_deviation_is_found_though_the_likelihood_has_it_at_zero():
    """The mean square between systems exceeds the one within them by less than N / (N - 1)."""
    rng = np.random.default_rng(2)
    within = rng.standard_normal((6, 3))
    within -= within.mean(axis=1, keepdims=True)
    within /= np.sqrt((within**2).sum() / 12)
    between = rng.standard_normal(6)
    between = (between - between.mean()) / between.std(ddof=1) * np.sqrt(1.15 / 3)
    y = 4 + between[:, None] + within
    assert mean_squares(y) == pytest.approx((1.15, 1.0))
    start = np.array([4.0, np.log(0.5), 0.0])
    plain = fit_marginal_likelihood(layout(y), start)
    assert np.exp(2 * plain.p[1]) < 0.001
    estimate = fit_marginal_likelihood(layout(y), start, restricted=True)
    np.testing.assert_allclose(np.exp(2 * estimate.p[1:]), [0.15 / 3, 1.0], rtol=0.03)


def decays(z: torch.Tensor) -> torch.Tensor:
    """Return exp(-z t) at four times."""
    return torch.exp(-z * torch.tensor([0.5, 1.0, 2.0, 3.0], dtype=torch.float64))


@pytest.mark.full
def test_a_nonlinear_model_has_the_maximum_by_quadrature():
    """The integral over each system is by the trapezoidal rule, the one over beta by Laplace."""
    rng = np.random.default_rng(5)
    z = np.exp(-0.3 + 0.5 * rng.standard_normal((8, 1)))
    y = decays(torch.from_numpy(z)).numpy() + 0.05 * rng.standard_normal((8, 4))
    problem = Problem(
        y, decays, lognormal_law(["rate"]), IsotropicNoise(4), np.full(3, 0.5), seed=3
    )
    nodes = np.linspace(-7, 7, 281)
    weights = np.exp(-0.5 * nodes**2)
    weights = weights / weights.sum()

    def log_likelihood(mean: float, theta: np.ndarray) -> float:
        rates = np.exp(mean + np.exp(theta[0]) * nodes)[:, None]
        g = decays(torch.from_numpy(rates)).numpy()
        misfit = ((y[:, None] - g) ** 2).sum(axis=2) / np.exp(2 * theta[1])
        logs = np.log(weights) - 0.5 * misfit - 4 * theta[1] - 2 * np.log(2 * np.pi)
        return float(np.logaddexp.reduce(logs, axis=1).sum())

    def restricted(theta: np.ndarray) -> float:
        best = minimize_scalar(
            lambda m: -log_likelihood(m, theta), (-0.6, -0.1), options={"xtol": 1e-9}
        ).x
        h = 1e-3
        low, here, high = (log_likelihood(best + s, theta) for s in (-h, 0.0, h))
        return here - 0.5 * np.log((2 * here - low - high) / h**2 / (2 * np.pi))

    start = np.array([-0.3, np.log(0.5), np.log(0.05)])
    estimate = fit_marginal_likelihood(problem, start, restricted=True)
    plain = fit_marginal_likelihood(problem, start)
    assert estimate.passes, estimate.reason
    top = minimize(lambda t: -restricted(t), start[1:], method="Nelder-Mead")
    errors = estimate.standard_errors[1:]
    assert np.max(np.abs(estimate.p[1:] - top.x) / errors) < 0.02
    assert (estimate.p[1] - plain.p[1]) / errors[0] > 0.15
    assert estimate.diagnostics["value"] == pytest.approx(-top.fun, abs=0.01)


@pytest.mark.full
@pytest.mark.parametrize("count", [6, 12])
def test_variances_have_no_bias_from_the_estimate_of_the_mean(count):
    """The truth is 1; likelihood estimates are smaller by the factor 1 - 1 / N, about."""
    found = []
    for k in range(200):
        rng = np.random.default_rng([7, count, k])
        y = 3 + rng.standard_normal((count, 1)) + 0.4 * rng.standard_normal((count, 4))
        start = np.array([3.0, 0.0, np.log(0.4)])
        each = [fit_marginal_likelihood(layout(y), start, restricted=r) for r in (False, True)]
        between, within = mean_squares(y)
        assert np.exp(2 * each[1].p[1]) == pytest.approx(
            (between - within) / 4, rel=0.01, abs=0.005
        )
        found.append([np.exp(2 * e.p[1]) for e in each])
    mean, error = np.mean(found, axis=0), np.std(found, axis=0) / np.sqrt(200)
    assert abs(mean[1] - 1) < error[1]
    assert abs(mean[0] - 1) > 2 * error[0]


def test_what_has_no_mean_to_integrate_is_refused():
    law = MixtureLaw(["level"], [REAL], components=2)
    y = np.zeros((6, 2))
    problem = Problem(
        y, lambda z: z.expand(-1, 2), law, IsotropicNoise(2), np.full(len(law.names) + 1, 0.5)
    )
    with pytest.raises(DivergenceError, match="needs a law that is normal after a transform"):
        fit_marginal_likelihood(problem, np.zeros(len(law.names) + 1), restricted=True)
