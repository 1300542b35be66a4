"""Intervals in natural values."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from problems import curve_problem
from scipy import stats
from slopes import slopes

from popinv.inference.answer.result import estimate_dataset
from popinv.inference.estimators.estimate import Ends
from popinv.inference.estimators.fit_pseudo import fit_pseudo_likelihood
from popinv.inference.uncertainty.intervals import (
    boundaries,
    containment,
    deviation_interval,
    intervals,
    law_interval,
    noise_interval,
    normal_interval,
)
from popinv.population.laws.gaussian import normal_law
from popinv.population.noise.time_series import AutoregressiveNoise
from popinv.population.noise.unstructured import FullNoise


def test_normal_interval_has_its_width():
    low, high = normal_interval(
        np.array([0.0, 1.0]), np.array([1.0, 2.0]), *containment(4000, np.ones(2))
    )
    np.testing.assert_allclose(high - low, 2 * 1.9605 * np.array([1.0, 2.0]), rtol=1e-3)
    np.testing.assert_allclose((low + high) / 2, [0.0, 1.0])
    few = normal_interval(np.zeros(1), np.ones(1), *containment(11, np.ones(1)))
    # Student's quantile with ten degrees of freedom; the spread of eleven systems about their mean.
    assert few[1][0] == pytest.approx(2.228 * np.sqrt(11 / 10), abs=1e-3)


def of_deviations(
    natural: np.ndarray, errors: np.ndarray, lost: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the ends of the interval of the deviation of a normal sample."""
    numbers = 1 / (2 * errors**2)
    low, high = (stats.chi2(numbers - lost).ppf(q) for q in (0.975, 0.025))
    return natural * np.sqrt(numbers / low), natural * np.sqrt(numbers / high)


def test_a_deviation_has_the_interval_of_a_normal_sample_and_a_correlation_fishers():
    noise = AutoregressiveNoise(2, 4, order=1)
    gamma, errors = np.array([-1.0, 0.8]), np.array([0.1, 0.2])
    found = noise_interval(noise, gamma, np.diag(errors**2), 500)
    normal = normal_interval(gamma, errors, *containment(500, np.ones(2)))
    deviation = of_deviations(np.exp(gamma[0]), errors[0], 0)
    for natural, unconstrained, end in zip(found, normal, deviation, strict=True):
        assert natural[0] == pytest.approx(end, rel=1e-6)
        assert natural[1] == pytest.approx(noise.to_natural(unconstrained)[1], rel=1e-6)


@pytest.mark.parametrize("count", [5, 20, 1000])
def test_the_deviation_of_a_sample_has_the_exact_interval(count):
    rng = np.random.default_rng(count)
    sample = rng.standard_normal((4000, count))
    # The maximum of the likelihood, and its standard error in the logarithm.
    logs, error = np.log(sample.std(axis=1)), np.full(4000, 1 / np.sqrt(2 * count))
    low, high = deviation_interval(logs, error, 1)
    np.testing.assert_allclose(np.exp(low), of_deviations(np.exp(logs), error, 1)[0])
    # A share of 95 % of 4000 is known to 0.34 %.
    assert np.mean((low <= 0) & (high >= 0)) == pytest.approx(0.95, abs=0.012)


@pytest.mark.parametrize("lost", [0, 1])
def test_a_larger_error_never_has_a_narrower_interval(lost):
    errors = np.geomspace(1e-4, 100, 400)
    low, high = deviation_interval(np.zeros(400), errors, lost)
    assert np.all(low < 0)
    assert np.all(np.diff(high) >= 0)
    assert high[-1] >= 1.96 * errors[-1]
    assert low[-1] <= -1.96 * errors[-1]
    held = deviation_interval(np.ones(1), np.zeros(1), lost)
    assert held == (1.0, 1.0)


@pytest.mark.parametrize("lost", [0, 1])
def test_a_deviation_has_at_least_the_interval_of_one_degree_of_freedom(lost):
    one = np.array([1 / np.sqrt(2 * (lost + 1))])
    high = of_deviations(np.ones(1), one, lost)[1]
    for errors in (one, 1.2 * one, 1.5 * one):
        found = deviation_interval(np.zeros(1), errors, lost)
        np.testing.assert_allclose(np.exp(found[1]), high, rtol=1e-9)


def test_correlations_of_unrestricted_noise_have_fishers_interval():
    truth = np.array([[1.0, 0.6, 0.0], [0.6, 1.0, 0.3], [0.0, 0.3, 1.0]])
    noise, count = FullNoise(3, shrinkage=0.0), 400
    root, rng = np.linalg.cholesky(truth), np.random.default_rng(0)
    answers = []
    for _ in range(300):
        sample = rng.standard_normal((count, 3)) @ root.T
        factor = np.linalg.cholesky(sample.T @ sample / count)
        answers.append(noise.from_cholesky(torch.from_numpy(factor)).numpy())
    centre = noise.from_cholesky(torch.from_numpy(root)).numpy()
    low, high = noise_interval(noise, centre, np.cov(np.array(answers), rowvar=False), count)
    # Fisher's z has standard deviation 1 / sqrt(N); that of 300 answers is known to 4 %.
    half = 1.966 / np.sqrt(count)
    np.testing.assert_allclose(np.arctanh(high[3:]) - np.arctanh(low[3:]), 2 * half, rtol=0.15)
    assert np.all(np.abs(low[3:]) < 1)
    # That of a logarithm of a standard deviation is 1 / sqrt(2 N).
    assert np.log(high[:3] / low[:3]) == pytest.approx(2 * half / np.sqrt(2), rel=0.15)


def test_the_law_has_students_intervals_those_of_deviations_and_fishers_for_correlations():
    law = normal_law(["a", "b", "c"], groups=["abc"])
    natural = np.array([1.0, -2.0, 0.3, 0.5, 2.0, 0.8, 0.6, -0.4, 0.2])
    alpha = law.from_natural(natural)
    rng = np.random.default_rng(0)
    root = 0.1 * rng.standard_normal((9, 9))
    covariance = root @ root.T
    low, high = law_interval(law, alpha, covariance, systems=21)
    quantile = stats.t(20).ppf(0.975) * np.sqrt(21 / 20)
    half = quantile * np.sqrt(np.diag(covariance))
    np.testing.assert_allclose(low[:3], natural[:3] - half[:3])
    np.testing.assert_allclose(high[:3], natural[:3] + half[:3])
    ends = of_deviations(natural[3:6], np.sqrt(np.diag(covariance)[3:6]), 1)
    np.testing.assert_allclose(low[3:6], ends[0])
    np.testing.assert_allclose(high[3:6], ends[1])
    # The errors of alpha, propagated to atanh of each correlation.
    change = slopes(lambda a: np.arctanh(law.to_natural(a)[6:]), alpha, 1e-4)
    errors = np.sqrt(np.diag(change @ covariance @ change.T))
    half = quantile * errors
    np.testing.assert_allclose(low[6:], np.tanh(np.arctanh(natural[6:]) - half), rtol=1e-5)
    np.testing.assert_allclose(high[6:], np.tanh(np.arctanh(natural[6:]) + half), rtol=1e-5)


def test_ends_of_the_profile_take_the_place_of_the_normal_ones():
    problem, alpha, gamma = curve_problem(count=50)
    estimate = fit_pseudo_likelihood(problem, [np.concatenate([alpha, gamma])])
    ends = {3: Ends(-np.inf, -0.5, "zero"), 5: Ends(-3.0, np.inf, "infinity")}
    dataset = estimate_dataset(problem, replace(estimate, ends=ends))
    both = intervals(problem, dataset)
    assert both["law"][0][3] == 0.0
    assert both["law"][1][3] == pytest.approx(np.exp(-0.5))
    assert both["noise"][0][1] == pytest.approx(np.exp(-3.0))
    assert both["noise"][1][1] == np.inf
    assert both["law"][0][2] == pytest.approx(
        intervals(problem, dataset.drop_vars("ends"))["law"][0][2]
    )
    assert boundaries(dataset) == {3: "zero", 5: "infinity"}
