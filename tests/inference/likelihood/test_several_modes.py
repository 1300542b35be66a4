"""Models that are the same for several parameters, whose posteriors have several modes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.special import logsumexp
from tiers import parameters, thinned

from popinv.inference.density.problem import Problem
from popinv.inference.estimators.fit_marginal import _Ascent, fit_marginal_likelihood
from popinv.inference.estimators.fit_pseudo import fit_pseudo_likelihood
from popinv.inference.integrate.draws import best_draws
from popinv.inference.integrate.marginal import MarginalSettings, evaluate, integrals_at
from popinv.inference.integrate.marginal_near import likelihood_near
from popinv.population.laws.gaussian import normal_law
from popinv.population.noise.terms import Noise, Size
from popinv.population.noise.unstructured import IsotropicNoise

CURVES = {"sine": torch.sin, "square": torch.square, "modulus": torch.abs}
GRID = np.linspace(-8.0, 8.0, 801)
TRUTH = np.array([1.0, np.log(1.5), np.log(0.2)])


def curved(name: str, count: int = 60) -> Problem:
    """Return a function of one normal parameter that is seen twice."""
    rng = np.random.default_rng(0)
    z = torch.from_numpy(rng.normal(1.0, 1.5, (count, 1)))

    def simulate(z: torch.Tensor) -> torch.Tensor:
        return CURVES[name](z).expand(-1, 2)

    data = simulate(z).numpy() + 0.2 * rng.standard_normal((count, 2))
    return Problem(data, simulate, normal_law(["z"]), IsotropicNoise(2), np.full(3, 0.5))


def log_posterior(problem: Problem, p: np.ndarray) -> np.ndarray:
    """Return log p(y_n, omega) on the grid of omega, (N, grid)."""
    z = torch.from_numpy((p[0] + np.exp(p[1]) * GRID)[:, None])
    misfit = ((problem.data[:, None] - problem.simulate(z).numpy()) ** 2).sum(axis=2)
    fit = -0.5 * misfit / np.exp(2 * p[2]) - 2 * p[2] - np.log(2 * np.pi)
    return fit - 0.5 * GRID**2 - 0.5 * np.log(2 * np.pi)


def by_grid(problem: Problem, p: np.ndarray) -> float:
    """Return the log likelihood (the trapezoidal rule, smooth and decaying)."""
    step = np.log(GRID[1] - GRID[0])
    return float((logsumexp(log_posterior(problem, p), axis=1) + step).sum())


def test_where_there_are_fewer_minima_searches_start_at_the_best():
    draws = torch.linspace(-3.0, 3.0, 61, dtype=torch.float64)[:, None]
    one, two = (draws[:, 0] - 1) ** 2, (draws[:, 0] ** 2 - 4) ** 2 + 0.1 * draws[:, 0]
    starts = best_draws(draws, torch.stack([one, two], dim=1), 3)[..., 0]
    torch.testing.assert_close(starts[:, 0], torch.tensor([1.0, 1.0, 1.0]).double())
    torch.testing.assert_close(starts[:, 1], torch.tensor([-2.0, 2.0, -2.0]).double())


@pytest.mark.full
@parameters("name", ["sine"], full=[name for name in CURVES if name != "sine"])
def test_the_estimate_is_at_the_maximum_of_the_grid(name):
    problem = curved(name)
    start = fit_pseudo_likelihood(problem, [np.array([0.0, 0.0, np.log(0.3)])]).p
    estimate = fit_marginal_likelihood(problem, start)
    assert estimate.passes, estimate.reason
    starts = [estimate.p] if name == "sine" else [estimate.p, TRUTH]
    tops = [
        minimize(lambda p: -by_grid(problem, p), first, options={"gtol": 1e-3}) for first in starts
    ]
    best = min(tops, key=lambda top: top.fun)
    assert by_grid(problem, estimate.p) > -best.fun - 0.02
    # The same law on the other side is as likely for a model that does not tell the sides.
    top = best.x.copy()
    if name != "sine":
        top[0] = np.copysign(top[0], estimate.p[0])
    errors = estimate.standard_errors
    assert np.max(np.abs(estimate.p - top) / errors) < 0.15
    # It is no saddle, at which the mean would have an error without end. The grid errs by 0.002
    # where the curve has a kink.
    curvature = np.array(
        [by_grid(problem, top + s) - 2 * by_grid(problem, top) + by_grid(problem, top - s)
         for s in 0.05 * np.eye(3)]
    )  # fmt: skip
    assert np.all(curvature < 0)
    assert errors[0] < 0.5
    # The value is that of draws of its own, with the error that they have.
    told = estimate.diagnostics["value"]
    assert abs(told - by_grid(problem, estimate.p)) < 0.06


@pytest.mark.parametrize("heavy_tails", [False, True])
def test_the_search_leads_to_the_highest_of_three_modes(heavy_tails):
    def simulate(z: torch.Tensor) -> torch.Tensor:
        # One is seen near 1 and near -2, and a search from 0 stays on a bump.
        valley = torch.where(z > 0, z**2, z**2 / 4)
        return (valley + 0.5 * torch.exp(-50 * z**2)).repeat(1, 2)

    noise, p = IsotropicNoise(2), np.array([0.0, 0.0, np.log(0.3)])
    if heavy_tails:
        noise, p = Noise(noise, Size("constant", heavy_tails=True)), np.append(p, np.log(30.0))
    problem = Problem(np.ones((3, 2)), simulate, normal_law(["z"]), noise, np.full(len(p), 0.5))
    modes = evaluate(problem, p, MarginalSettings(draws=16)).modes
    np.testing.assert_allclose(modes, 1.0, atol=0.1)


@pytest.mark.full
@parameters("name", *thinned(CURVES, 3))
def test_the_likelihood_near_any_law_is_that_of_the_grid(name):
    problem, everyone = curved(name, 40), np.arange(40)
    for mean in (0.0, 0.7, 2.0):
        p = TRUTH + np.array([mean - 1.0, 0.0, 0.0])
        near = likelihood_near(problem, p, MarginalSettings(draws=512), hard=everyone)
        assert near.here.log_likelihood.sum() == pytest.approx(by_grid(problem, p), abs=0.2)


@pytest.mark.parametrize("name", ["sine", "square"])
def test_all_modes_of_some_weight_are_found(name):
    problem = curved(name, 30)
    settings = MarginalSettings()
    found = integrals_at(problem, TRUTH).all_modes(settings, "mode_starts")
    modes = np.stack([each.omega[:, 0].numpy() for each in found])
    for n, density in enumerate(log_posterior(problem, TRUTH)):
        inner = density[1:-1]
        tops = 1 + np.flatnonzero((inner > density[:-2]) & (inner > density[2:]))
        # Those of at least 1 % of the highest. Searches start at draws of the law.
        tops = tops[(density[tops] > density.max() - np.log(100)) & (np.abs(GRID[tops]) < 2.5)]
        assert all(np.abs(modes[:, n] - GRID[top]).min() < 0.05 for top in tops)


@parameters("count, noise", [(4, 1.0)], full=[(6, 0.6)])
def test_an_ascent_ends_where_all_systems_have_two_modes_and_a_parameter_does_nothing(
    count, noise, monkeypatch
):
    def square(z: torch.Tensor) -> torch.Tensor:
        return z[:, :1] ** 2 * torch.ones(5, dtype=torch.float64) + 0 * z[:, 1:]

    cycles = []
    following = _Ascent.following

    def counted(*arguments):
        cycles.append(arguments)
        # Each of at most 20 cycles may once have the curvature of a saddle.
        assert len(cycles) < 60, "the ascent goes round in circles"
        return following(*arguments)

    monkeypatch.setattr(_Ascent, "following", counted)
    z = np.linspace(0.7, 1.5, count)[:, None]
    data = z**2 + noise * np.random.default_rng(0).standard_normal((count, 5))
    law, noises = normal_law(["seen", "unseen"]), IsotropicNoise(5)
    problem = Problem(data, square, law, noises, np.full(5, 0.1))
    start = np.array([0.0, 0.0, 0.0, 0.0, np.log(noise)])
    estimate = fit_marginal_likelihood(problem, start)
    mean, _, spread, _, size = estimate.p
    nodes, weights = np.polynomial.hermite_e.hermegauss(200)
    signal = (mean + np.exp(spread) * nodes) ** 2
    residuals = (data[:, None, :] - signal[:, None]) / np.exp(size)
    densities = -0.5 * (residuals**2).sum(axis=2) - 5 * (size + 0.5 * np.log(2 * np.pi))
    exact = logsumexp(densities, axis=1, b=weights / weights.sum()).sum()
    assert estimate.diagnostics["value"] == pytest.approx(exact, abs=0.05)
