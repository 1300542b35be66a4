"""Draws are as many as a small error needs, of the estimate and of the log likelihood's value."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from bent_population import BENT, bent_problem, by_quadrature
from slopes import slopes
from tiers import parameters

from benchmarks.ridges import RIDGES
from popinv.inference.density.problem import Problem
from popinv.inference.estimators import fit_marginal, likelihood_value
from popinv.inference.estimators.fit_marginal import fit_marginal_likelihood
from popinv.inference.estimators.fit_pseudo import fit_pseudo_likelihood
from popinv.inference.integrate.marginal import MarginalSettings
from popinv.inference.integrate.marginal_near import likelihood_near
from popinv.population.laws.gaussian import lognormal_law
from popinv.population.noise.unstructured import IsotropicNoise

TIMES = torch.tensor([0.5, 1.5, 3.0], dtype=torch.float64)
LAW = lognormal_law(["amplitude", "rate"])
# Means of the logarithms, and deviations.
ALPHA = np.array([0.0, -0.7, np.log(0.4), np.log(0.4)])


def decay(z: torch.Tensor) -> torch.Tensor:
    return z[:, :1] * torch.exp(-z[:, 1:] * TIMES)


def quiet_decays(count: int, seed: int = 0) -> tuple[Problem, np.ndarray, np.ndarray]:
    """Return decays whose noise is a two-hundredth of the signal, the truth, and all log z."""
    rng = np.random.default_rng(seed)
    logs = ALPHA[:2] + 0.4 * rng.standard_normal((count, 2))
    signal = decay(torch.from_numpy(np.exp(logs))).numpy()
    noise = signal.std() / 200
    data = signal + noise * rng.standard_normal(signal.shape)
    problem = Problem(data, decay, LAW, IsotropicNoise(3), np.full(5, 0.5), seed=seed)
    return problem, np.append(ALPHA, np.log(noise)), logs


def _across(data: np.ndarray, logs: np.ndarray) -> float:
    """Return the root mean square of what no change of the parameters explains."""
    z = torch.from_numpy(np.exp(logs))
    slopes = torch.func.vmap(torch.func.jacfwd(lambda row: decay(row[None])[0]))(z).numpy()
    normal = np.cross(slopes[..., 0], slopes[..., 1])
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    return float(np.sqrt(np.mean(((data - decay(z).numpy()) * normal).sum(axis=1) ** 2)))


@pytest.mark.full
@parameters("count", [200], full=[60])
def test_with_little_noise_the_likelihood_answers_whatever_the_number_of_systems(count):
    problem, truth, logs = quiet_decays(count)
    start = fit_pseudo_likelihood(problem, [truth + np.array([0.3, -0.2, 0.2, 0.2, 1.0])]).p
    estimate = fit_marginal_likelihood(problem, start)
    assert estimate.passes, estimate.reason
    assert estimate.diagnostics["draws_error"] < 0.2
    monte_carlo = np.sqrt(np.diag(estimate.monte_carlo) / np.diag(estimate.covariance))
    assert np.all(monte_carlo < 0.25)
    # The law is about that of the parameters themselves, which are known to a hundredth.
    known = np.concatenate([logs.mean(axis=0), np.log(logs.std(axis=0))])
    errors = estimate.standard_errors
    assert np.max(np.abs(estimate.p[:4] - known) / errors[:4]) < 0.35
    # A system has three observations and two parameters, so that one number tells of the noise.
    assert errors[4] == pytest.approx(1 / np.sqrt(2 * count), rel=0.2)
    assert abs(estimate.p[4] - np.log(_across(problem.data, logs))) < 0.2 * errors[4]


@parameters("count", [100], full=[400])
def test_on_a_ridge_the_maximum_is_that_of_quadrature(count):
    """Each system tells the product of its parameters, and little more."""
    places = torch.linspace(0.2, 2.0, 6, dtype=torch.float64)

    def simulate(z: torch.Tensor) -> torch.Tensor:
        return z[:, 1:] * (z[:, :1] * places + 0.3 * places**2)

    rng = np.random.default_rng(5)
    signal = simulate(torch.from_numpy(np.exp(0.3 * rng.standard_normal((count, 2))))).numpy()
    data = signal + 0.4 * rng.standard_normal(signal.shape)
    truth = np.log([1.0, 1.0, 0.3, 0.3, 0.4])
    problem = Problem(data, simulate, LAW, IsotropicNoise(6), np.full(5, 0.5))
    start = fit_pseudo_likelihood(problem, [truth]).p
    estimate = fit_marginal_likelihood(problem, start)
    scores = slopes(lambda p: by_quadrature(problem, p, side=61).sum(), estimate.p, 1e-4)
    # The errors that are told are below 0.06.
    left = estimate.bread @ scores / np.sqrt(np.diag(estimate.bread))
    assert np.max(np.abs(left)) < 0.1, left


@pytest.mark.full
def test_some_systems_take_the_long_way_from_a_far_start():
    problem, truth, _ = quiet_decays(500)
    # k^2 / N = 10 in the means alone, so that steps with squares of the scores are short.
    far = truth + np.array([1.0, -0.8, 0.0, 0.0, 0.0])
    settings = MarginalSettings(new_value=False)
    estimate, near = (
        fit_marginal_likelihood(problem, start, settings, rough=True) for start in (far, truth)
    )
    assert estimate.diagnostics["steps"] <= 8
    assert np.max(np.abs(estimate.p - near.p) / near.standard_errors) < 0.05


def test_the_value_costs_no_more_than_the_estimate(monkeypatch):
    monkeypatch.setattr(likelihood_value, "_LEAST_OF_VALUE", 0)
    problem, truth, _ = quiet_decays(60)
    drawn = []

    def recorded(problem, p, settings, *others, **named):
        if not settings.scores:
            drawn.append(settings.draws)
        return likelihood_near(problem, p, settings, *others, **named)

    monkeypatch.setattr(likelihood_value, "likelihood_near", recorded)
    estimate = fit_marginal_likelihood(problem, truth)
    told = estimate.diagnostics
    # Each step, and two evaluations of each cycle, has at most the draws of the last.
    assert 0 < sum(drawn) <= (told["steps"] + 4) * told["draws"]
    assert told["value_error"] > 0.005


@parameters("seed", [0], full=[1])
def test_of_fifty_systems_the_value_is_exact_to_a_fiftieth(seed):
    problem = bent_problem(50, 0.3, seed=seed)
    truth = BENT.copy()
    truth[4] = np.log(0.3)
    estimate = fit_marginal_likelihood(problem, truth)
    exact = by_quadrature(problem, estimate.p, side=301)
    # The error that is told is at most 0.015, of which this is three.
    assert estimate.diagnostics["value_error"] <= 0.015
    assert estimate.diagnostics["value"] == pytest.approx(exact.sum(), abs=0.045)
    assert estimate.arrays["log_likelihood"].sum() == estimate.diagnostics["value"]


def test_the_error_of_the_value_is_that_over_seeds():
    problem, p = bent_problem(20, 0.3), BENT.copy()
    p[4] = np.log(0.3)
    exact, errors, told = by_quadrature(problem, p, side=301).sum(), [], []
    for seed in range(30):
        here = likelihood_near(replace(problem, seed=seed), p, MarginalSettings(draws=64)).here
        errors.append(here.log_likelihood.sum() - exact)
        told.append((here.value_error**2).sum())
    # A root mean square of 30 has a relative error of 13 %.
    ratio = np.sqrt(np.mean(np.square(errors)) / np.mean(told))
    assert 0.6 < ratio < 1.5
    # The mean is that of no bias.
    assert abs(np.mean(errors)) < 4 * np.std(errors) / np.sqrt(30)


@pytest.mark.parametrize("hard", [None, np.arange(20)])
def test_the_value_alone_is_that_beside_the_scores(hard):
    problem, p = bent_problem(20, 0.3), BENT.copy()
    p[4] = np.log(0.3)
    both, alone = (
        likelihood_near(problem, p, MarginalSettings(draws=64, scores=scores), hard=hard).here
        for scores in (True, False)
    )
    if hard is None:
        # Draws that are not adapted are defensive where the value alone is asked for.
        exact, error = by_quadrature(problem, p), np.sqrt(np.mean(alone.value_error**2))
        np.testing.assert_allclose(alone.log_likelihood, exact, rtol=0, atol=5 * error)
    else:
        np.testing.assert_array_equal(alone.log_likelihood, both.log_likelihood)
        np.testing.assert_array_equal(alone.value_error, both.value_error)
    assert not alone.scores.any()
    assert both.scores.any()


@pytest.mark.full
@pytest.mark.parametrize("start", [0.3, 0.003])
def test_a_median_beside_a_deviation_of_zero_has_its_right_error(start):
    """A product of two parameters, and one of them in a small term: its deviation ends at zero."""
    own = RIDGES["product"]
    law = lognormal_law(["z1", "z2"])
    problem = Problem(own.drawn(3), own.signal, law, IsotropicNoise(4), np.full(5, 0.5), seed=3)
    first = np.log([0.8, 2.6, start, 0.5, 0.3])
    estimate = fit_marginal_likelihood(problem, first)
    scores = estimate.arrays["scores"][:, [0, 1, 3, 4]]
    # The squares of the scores of 100 systems are the information up to a few tenths.
    expected = np.sqrt(np.diag(np.linalg.inv(scores.T @ scores)))
    np.testing.assert_allclose(
        np.sqrt(np.diag(estimate.covariance))[[0, 1, 3, 4]], expected, rtol=0.4
    )


def test_draws_are_not_adapted_where_nothing_is_told_of_a_random_number():
    problem = bent_problem(20, 0.3)
    near = likelihood_near(problem, BENT, MarginalSettings())
    told = replace(near.here, variance=np.array([[0.2, 0.9]] * 20))
    assert fit_marginal._all_told(told)
    assert not fit_marginal._all_told(replace(told, variance=np.array([[0.2, 0.999]] * 20)))
