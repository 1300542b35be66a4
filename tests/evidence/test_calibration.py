"""Calibration of estimates and intervals on new data sets."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from problems import curve_problem
from tiers import parameters

from popinv.evidence.calibration import calibration, calibration_metrics, replication
from popinv.inference.estimators.estimation import NamedEstimate, estimate_population
from popinv.inference.estimators.fit_pseudo import fit_pseudo_likelihood
from popinv.inference.estimators.settings import DescentSettings, PolishSettings
from popinv.inference.uncertainty.surrogate_bias import FreshSolves


@cache
def fit():
    """Return the curve problem, its truth, and its estimate."""
    problem, alpha, gamma = curve_problem(count=400)
    truth = np.concatenate([alpha, gamma])
    return problem, truth, fit_pseudo_likelihood(problem, [truth])


def block(errors, standard_errors, width=1.0):
    """Return replications of the curve problem whose estimates err by so many standard errors."""
    problem, truth, fitted = fit()
    gamma = problem.split(truth)[1]
    parts = []
    for error in errors:
        estimate = replace(
            fitted,
            p=truth + error * standard_errors,
            covariance=np.diag((width * standard_errors) ** 2),
            monte_carlo=np.zeros((6, 6)),
        )
        covariance = problem.noise.covariance(torch.from_numpy(gamma)).numpy()
        parts.append(replication(problem, NamedEstimate("likelihood", estimate), truth, covariance))
    return parts


def test_intervals_that_hold_the_truth_are_counted():
    errors = np.full(6, 0.1)
    calibrated = calibration(block([0.0, 1.0, -1.5, 2.5], errors))
    np.testing.assert_allclose(calibrated["law_coverage"], 0.75)
    np.testing.assert_allclose(calibrated["noise_coverage"], 0.75)
    metrics = calibration_metrics(calibrated)
    assert metrics["calibration_replications"] == 4
    assert metrics["coverage_mean"] == 0.75
    assert metrics["answered_by_likelihood"] == 1.0
    # Wilson's interval of 3 in 4.
    assert metrics["coverage_alpha_decay_mean_lower"] == pytest.approx(0.301, abs=1e-3)
    assert metrics["coverage_alpha_decay_mean_upper"] == pytest.approx(0.954, abs=1e-3)


def test_errors_are_compared_with_the_bound():
    errors = np.full(6, 0.1)
    calibrated = calibration(block([2.0, -2.0], errors))
    # The bound of the pseudo-likelihood is its own standard error.
    np.testing.assert_allclose(calibrated["efficiency"], 2.0)


@pytest.mark.full
@pytest.mark.parametrize(("width", "fine"), [(1.0, True), (0.3, False)])
def test_ranks_tell_intervals_that_are_too_short(width, fine):
    normal = np.random.default_rng(0).standard_normal(60)
    calibrated = calibration(block(normal, np.full(6, 0.1), width))
    assert np.all((calibrated["rank_p_value"] > 0.01) == fine)


def test_truth_of_another_family_has_no_coverage_of_its_noise():
    parts = block([0.0, 1.0], np.full(6, 0.1))
    for part in parts:
        part["noise_true"].values[:] = np.nan
        part["error"].values[4:] = np.nan
    calibrated = calibration(parts)
    assert "noise_coverage" not in calibrated
    metrics = calibration_metrics(calibrated)
    assert "efficiency_amplitude" not in metrics
    assert np.isfinite(metrics["noise_error_rms"])


@pytest.mark.full
@parameters("wanted", ["auto"], full=["distance", "pseudo_likelihood"])
def test_a_replication_is_answered_by_whom_the_study_asks(wanted):
    problem, alpha, gamma = curve_problem(count=200)
    p = np.concatenate([alpha, gamma])
    z = alpha[:2] + np.exp(alpha[2:]) * np.random.default_rng(0).standard_normal((40, 2))
    fresh = FreshSolves(z, problem.simulate(torch.from_numpy(z)).numpy())
    descent = DescentSettings(iterations=60, model_samples=400, directions=32)
    answer = estimate_population(problem, wanted, PolishSettings(draws=16), descent, [p], fresh)
    assert answer.estimator == {"auto": "likelihood"}.get(wanted, wanted)
    assert np.abs(answer.estimate.p - p).max() < 0.6
