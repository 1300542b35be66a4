"""The Gaussian pseudo-likelihood, where it is the likelihood and where it is not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from linear_population import (
    TRUTH,
    exact_log_likelihood,
    exact_scores,
    linear_problem,
    normal_log_density,
)
from problems import curve, curve_problem, pseudo_likelihood
from scipy.optimize import minimize
from scipy.stats import multivariate_normal
from tiers import parameters

from popinv.errors import DivergenceError
from popinv.forward.tangents import linearised
from popinv.inference.density.conditions import Conditions
from popinv.inference.density.problem import Problem
from popinv.inference.estimators import fit_pseudo
from popinv.inference.estimators.fit_pseudo import fit_pseudo_likelihood
from popinv.inference.integrate import pseudo
from popinv.inference.integrate.model_moments import (
    draws_for,
    matched_draws,
    moments_of_systems,
)
from popinv.inference.integrate.pseudo import evaluate
from popinv.population.known import Known
from popinv.population.laws.gaussian import normal_law
from popinv.population.limits import Limits
from popinv.population.noise.terms import Noise, Size
from popinv.population.noise.unstructured import IsotropicNoise


def evaluated(problem, p):
    return pseudo_likelihood(problem, matched_draws(problem, 2000))(p)


@pytest.mark.parametrize(
    ("systems", "draws"),
    [(6, 1000), (100, 3200), (1000, 16_000), (2000, 32_000), (10**6, 400_000)],
)
def test_draws_add_at_most_a_sixteenth_to_the_variance(systems: int, draws: int):
    assert draws_for(systems) == draws


def test_the_closed_form_is_scipys():
    rng = np.random.default_rng(0)
    factors, rows, seen = rng.normal(size=(9, 5, 5)), rng.normal(size=(9, 5)), rng.random((9, 5))
    covariance, seen = factors @ factors.mT + np.eye(5), seen > 0.4
    expected = [
        multivariate_normal.logpdf(row[own], np.zeros(own.sum()), whole[np.ix_(own, own)])
        for row, whole, own in zip(rows, covariance, seen, strict=True)
    ]
    np.testing.assert_allclose(normal_log_density(rows, covariance, seen), expected, rtol=1e-12)


@pytest.mark.parametrize(("scales", "gaps"), [(False, False), (True, False), (True, True)])
def test_for_a_linear_model_it_is_the_likelihood(scales, gaps):
    # The draws have covariance I exactly, so that mean and covariance of a linear model are exact.
    problem = linear_problem(40, scales=scales, gaps=gaps)
    found = evaluated(problem, TRUTH + 0.1)
    exact = exact_log_likelihood(problem, TRUTH + 0.1)
    np.testing.assert_allclose(found.log_likelihood, exact, rtol=1e-10)
    np.testing.assert_allclose(
        found.scores, exact_scores(problem, TRUTH + 0.1), rtol=1e-4, atol=1e-5
    )


def test_one_observation_that_is_not_finite_stops_it():
    def simulate(z: torch.Tensor) -> torch.Tensor:
        return torch.cat([z, torch.full_like(z, torch.nan)], dim=1)

    problem = Problem(np.zeros((30, 2)), simulate, normal_law(["a"]), IsotropicNoise(2), np.ones(3))
    with pytest.raises(DivergenceError, match="an observation of the model is not finite"):
        evaluated(problem, np.zeros(3))


def test_the_information_is_the_scores_covariance_at_the_truth():
    problem = linear_problem(6000, scales=True)
    found = evaluated(problem, TRUTH)
    squares = found.scores.T @ found.scores
    size = np.sqrt(np.diag(found.information))
    # 6000 systems tell a variance to two per cent, a correlation to 1.3.
    np.testing.assert_allclose(
        squares / np.outer(size, size), found.information / np.outer(size, size), atol=0.07
    )


@pytest.mark.parametrize("gaps", [False, True])
def test_the_maximum_is_that_of_another_optimiser(gaps):
    problem = linear_problem(300, seed=3, scales=True, gaps=gaps)
    estimate = fit_pseudo_likelihood(problem, [np.zeros(6)])
    other = minimize(lambda p: -exact_log_likelihood(problem, p).sum(), TRUTH, method="BFGS")
    assert estimate.arrived
    # The ascent stops where a step promises 5e-4 in the log likelihood: 0.03 standard errors.
    assert np.all(np.abs(estimate.p - other.x) < 0.04 * estimate.standard_errors)


def test_no_unit_matters():
    one = linear_problem(30, seed=5)
    factor = 1000.0
    from dataclasses import replace

    other = replace(one, data=one.data * factor)
    start = np.zeros(6)
    estimate, scaled = (fit_pseudo_likelihood(problem, [start]) for problem in (one, other))
    moved = np.log(factor)
    expected = estimate.p * [factor, factor, 1, 1, 1, 1] + [0, 0, moved, moved, moved, 0]
    # Both ascents stop within 0.03 standard errors of the maximum.
    assert np.all(np.abs(scaled.p - expected) < 0.07 * scaled.standard_errors)


@parameters("sets, off", [(12, 0.6)], full=[(40, 0.33)])
def test_its_errors_are_those_seen_over_data_sets(sets, off):
    errors, predicted = [], []
    for seed in range(sets):
        problem, alpha, gamma = curve_problem(count=150, seed=seed)
        truth = np.concatenate([alpha, gamma])
        estimate = fit_pseudo_likelihood(problem, [truth])
        errors.append(estimate.p - truth)
        predicted.append(estimate.standard_errors)
    ratio = np.sqrt(np.mean(np.square(errors), axis=0) / np.mean(np.square(predicted), axis=0))
    # A root mean square of 40 has a relative error of 11 %, of 12 one of 20 %: six of them within
    # three of those.
    assert np.all(np.abs(ratio - 1) < off)


def test_fewer_draws_add_at_most_the_error_that_is_stated():
    problem, alpha, gamma = curve_problem(count=300)
    truth = np.concatenate([alpha, gamma])
    exact = fit_pseudo_likelihood(problem, [truth], draws=100_000)
    errors = []
    for stage in range(6):
        estimate = fit_pseudo_likelihood(replace(problem, stage=f"s{stage}"), [truth], draws=1000)
        assert estimate.diagnostics["draws"] == 1000
        errors.append((estimate.p - exact.p) / np.sqrt(np.diag(estimate.monte_carlo)))
    # What is stated is the error of independent draws; matched ones have about a fifth of it.
    assert np.all(np.mean(np.square(errors), axis=0) < 1)
    assert np.all(np.abs(errors) > 0)


class Rounded:
    """The curve in a precision that an ascent notices, and accurately on demand."""

    def __call__(self, z):
        return curve(z).round(decimals=2)

    def in_double(self):
        return curve


def test_of_many_observations_the_surrogate_computes_in_double_precision(monkeypatch):
    problem, alpha, gamma = curve_problem(count=100)
    truth = np.concatenate([alpha, gamma])
    exact = fit_pseudo_likelihood(problem, [truth])
    rounded = replace(problem, simulate=Rounded())
    assert not np.array_equal(fit_pseudo_likelihood(rounded, [truth]).p, exact.p)
    monkeypatch.setattr(fit_pseudo, "_DOUBLE_FROM", problem.data.size)
    np.testing.assert_array_equal(fit_pseudo_likelihood(rounded, [truth]).p, exact.p)


def test_a_part_of_very_many_draws_leads_to_the_same_maximum(monkeypatch):
    problem, alpha, gamma = curve_problem(count=300)
    truth = np.concatenate([alpha, gamma])
    direct = fit_pseudo_likelihood(problem, [truth], draws=20_000)
    for name, count in (("_FIRST_DRAWS", 1000), ("_NEXT_DRAWS", 5000), ("_VERY_MANY", 10_000)):
        monkeypatch.setattr(fit_pseudo, name, count)
    counts = []
    matched = fit_pseudo.matched_draws
    monkeypatch.setattr(
        fit_pseudo, "matched_draws", lambda of, n: counts.append(n) or matched(of, n)
    )
    parts = fit_pseudo_likelihood(problem, [truth], draws=20_000)
    assert counts == [20_000, 1000, 5000]
    assert parts.diagnostics["draws"] == 20_000
    # Each has arrived to about 0.03 standard errors.
    assert np.all(np.abs(parts.p - direct.p) < 0.1 * direct.standard_errors)


def test_of_several_starts_the_best_end_counts():
    problem = linear_problem(100, seed=1)
    astray = TRUTH.copy()
    astray[0] = np.nan
    estimate = fit_pseudo_likelihood(problem, [astray, TRUTH])
    assert np.isfinite(estimate.p).all()
    with pytest.raises(DivergenceError):
        fit_pseudo_likelihood(problem, [astray])


def test_what_is_held_stays_and_has_no_error():
    from dataclasses import replace

    problem = replace(linear_problem(100, seed=2), free_noise=False)
    start = TRUTH + 0.3
    estimate = fit_pseudo_likelihood(problem, [start])
    np.testing.assert_array_equal(estimate.p[4:], start[4:])
    np.testing.assert_array_equal(estimate.standard_errors[4:], 0.0)
    assert np.all(estimate.standard_errors[:4] > 0)


@pytest.mark.parametrize(("asked", "given"), [(1000, 1000), (8, 4 * 12)])
def test_draws_are_as_many_as_asked_for_and_at_least_four_for_each_random_number(asked, given):
    law = normal_law([f"z{i}" for i in range(12)])
    problem = Problem(np.zeros((3, 2)), torch.sin, law, IsotropicNoise(2), np.full(25, 0.5))
    omega = matched_draws(problem, asked).numpy()
    assert omega.shape == (given, 12)
    np.testing.assert_allclose(omega.mean(axis=0), 0.0, atol=1e-12)
    np.testing.assert_allclose(omega.T @ omega / given, np.eye(12), atol=1e-9)


class WithTangents:
    """A function that gives its derivatives along tangents."""

    def __init__(self, function):
        self.function = function

    def __call__(self, z):
        return self.function(z)

    def linearise(self, z, tangents):
        return linearised(self.function, z, tangents)


def test_derivatives_along_tangents_are_those_by_differences_for_each_design():
    def dosed(z):
        return z[:, 2:] * curve(z[:, :2])

    problem, alpha, gamma = curve_problem(count=30)
    known = Known.of_arrays(np.repeat([0.5, 1.0, 2.0], 10)[:, None], np.empty((30, 0)))
    problem = replace(problem, conditions=Conditions.stated(problem.data.shape, known=known))
    at = [torch.from_numpy(part) for part in (alpha, gamma)]
    plain, along = (
        evaluate(each, moments_of_systems(each, *at, matched_draws(each, 6000)))
        for each in (replace(problem, simulate=f) for f in (dosed, WithTangents(dosed)))
    )
    np.testing.assert_allclose(along.log_likelihood, plain.log_likelihood, rtol=1e-10)
    np.testing.assert_allclose(along.scores, plain.scores, rtol=1e-4, atol=1e-4)


def test_derivatives_along_tangents_are_those_by_differences():
    problem, *at = curve_problem(count=50)
    omega, at = matched_draws(problem, 2000), [torch.from_numpy(part) for part in at]
    by_differences = moments_of_systems(problem, *at, omega)
    along = moments_of_systems(replace(problem, simulate=WithTangents(curve)), *at, omega)
    assert along.keys == by_differences.keys
    for name in ("mean", "signal", "noise", "of_mean", "of_signal", "of_noise"):
        expected = getattr(by_differences, name)
        # Differences with steps of 1e-3 are good to about 1e-6 of the values.
        np.testing.assert_allclose(getattr(along, name), expected, rtol=1e-5, atol=1e-6)


def with_conditions(varies, limits):
    """Return 12 systems with doses, scales and gaps, and p."""
    problem, alpha, gamma = curve_problem(count=12)
    rng, d_y = np.random.default_rng(4), problem.data.shape[1]
    present = rng.random(problem.data.shape) < 0.7
    lowest = float(np.quantile(problem.data, 0.1))
    conditions = Conditions.stated(
        problem.data.shape,
        scale=rng.choice([0.5, 1.0, 2.0], 12),
        present=present,
        fill=np.zeros(d_y),
        known=Known.of_arrays(np.repeat([0.5, 1.0, 2.0], 4)[:, None], np.empty((12, 0))),
        limits=Limits.of_arrays(problem.data.shape, lower=lowest) if limits else None,
    )
    noise = problem.noise
    if varies:
        noise, gamma = Noise(noise, Size("combined")), np.append(gamma, -1.5)
    if limits:
        noise, gamma = Noise(IsotropicNoise(d_y), Size("combined")), np.array([-2.0, -1.5])
        problem = replace(problem, data=np.maximum(problem.data, lowest))
    scale = np.full(len(alpha) + len(gamma), 0.5)
    problem = replace(
        problem,
        simulate=lambda z: z[:, -1:] * curve(z[:, :-1]),
        noise=noise,
        conditions=conditions,
        scale=scale,
    )
    return problem, alpha, gamma


@pytest.mark.parametrize(("varies", "limits"), [(False, False), (True, False), (True, True)])
def test_every_system_has_the_normal_law_of_its_own_moments(varies, limits):
    problem, alpha, gamma = with_conditions(varies, limits)
    at = [torch.from_numpy(np.array(part)) for part in (alpha, gamma)]
    moments = moments_of_systems(problem, *at, matched_draws(problem, 3000))
    found, conditions = evaluate(problem, moments), problem.conditions
    group, n_p = moments.index(problem), len(problem.free)
    value, scores, information = np.zeros(12), np.zeros((12, n_p)), np.zeros((n_p, n_p))
    for n in range(12):
        k, own = group[n], np.flatnonzero(conditions.present[n])
        square = 1.0 if limits else conditions.scale[n] ** 2
        C = (moments.signal[k] + square * moments.noise[k]).numpy()[np.ix_(own, own)]
        dm, dC = np.zeros((n_p, len(own))), square * moments.of_noise[k].numpy()
        dm[: moments.of_mean.shape[1]] = moments.of_mean[k].numpy()[:, own]
        dC[: moments.of_signal.shape[1]] += moments.of_signal[k].numpy()
        dC, d = dC[:, own[:, None], own], problem.data[n, own] - moments.mean[k].numpy()[own]
        value[n] = multivariate_normal.logpdf(d, np.zeros(len(own)), C)
        inverse = np.linalg.inv(C)
        middle = inverse @ (np.outer(d, d) - C) @ inverse
        scores[n] = dm @ inverse @ d + 0.5 * np.einsum("ijk,jk->i", dC, middle)
        both = np.einsum("ab,ibc,cd,jda->ij", inverse, dC, inverse, dC)
        information += dm @ inverse @ dm.T + 0.5 * both
    np.testing.assert_allclose(found.log_likelihood, value, rtol=1e-10)
    np.testing.assert_allclose(found.scores, scores, rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(found.information, information, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("varies", "limits"), [(False, False), (True, False), (True, True)])
def test_the_contributions_of_draws_are_how_they_move_the_score(varies, limits):
    problem, alpha, gamma = with_conditions(varies, limits)
    at, rng = (
        [torch.from_numpy(np.array(part)) for part in (alpha, gamma)],
        np.random.default_rng(0),
    )
    # Systems with the same known quantities have one scale.
    conditions = replace(problem.conditions.without_gaps(), scale=np.repeat([0.5, 1.0, 2.0], 4))
    problem, d_y = replace(problem, conditions=conditions), problem.data.shape[1]
    one, other = (torch.from_numpy(rng.standard_normal((3 * m, 2))) for m in (500, 40))
    here, there = (moments_of_systems(problem, *at, omega) for omega in (one, other))
    # Systems that have the mean and the covariance of the model exactly.
    group, data = here.index(problem), []
    for n, k in enumerate(group):
        square = 1.0 if limits else conditions.scale[n] ** 2
        root = torch.linalg.cholesky(here.signal[k] + square * here.noise[k]).T * d_y**0.5
        data.append(here.mean[k] + torch.cat([root, -root]))
    systems = np.repeat(np.arange(12), 2 * d_y)
    observed = replace(problem, data=torch.cat(data).numpy(), conditions=conditions.of(systems))

    def score(t):
        names = ("mean", "signal", "noise")
        moved = {x: getattr(here, x) + t * (getattr(there, x) - getattr(here, x)) for x in names}
        # The covariance of a mixture of both sets of draws.
        shift = there.mean - here.mean
        between = shift[:, :, None] * shift[:, None]
        moved["signal"] = moved["signal"] + t * (1 - t) * between
        return evaluate(observed, replace(here, **moved)).scores.sum(axis=0)

    slope, expected = (score(1e-5) - score(-1e-5)) / 2e-5, 0.0
    first = np.arange(0, len(systems), 4 * 2 * d_y)
    own, few = here.index(observed)[first], observed.of_systems(first)
    squares = np.ones(3) if limits else few.conditions.scale**2
    for omega, sign in ((other, -1), (one, 1)):
        each = pseudo._of_draws(few, here, own, squares, *at, omega.reshape(3, -1, 2))
        expected = expected + sign * 4 * 2 * d_y * each.mean(axis=1).sum(axis=0)
    size = np.abs(expected).max()
    assert size > 1
    np.testing.assert_allclose(slope, expected, rtol=1e-4, atol=1e-5 * size)
