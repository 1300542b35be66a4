"""Errors against the number of systems."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import xarray as xr
from problems import curve_problem

from popinv.errors import DataError, DivergenceError
from popinv.evidence.convergence import error_metrics, errors_of_repeats, fit_slope
from popinv.inference.estimators.estimation import NamedEstimate
from popinv.inference.estimators.fit_pseudo import fit_pseudo_likelihood
from popinv.store.variables import variable


def answer_from(alpha, gamma):
    """Return the estimate of a data set from a start."""

    def answer(problem):
        estimate = fit_pseudo_likelihood(problem, [np.concatenate([alpha, gamma])])
        return NamedEstimate("pseudo_likelihood", estimate)

    return answer


def test_a_power_law_is_recovered_exactly():
    counts = np.array([30.0, 100.0, 300.0, 1000.0])
    fit = fit_slope(counts, 2.5 * counts**-0.5)
    assert fit.slope == pytest.approx(-0.5, abs=1e-12)
    assert np.exp(fit.intercept) == pytest.approx(2.5)
    assert fit.standard_error == pytest.approx(0.0, abs=1e-7)


def test_the_standard_error_is_that_of_least_squares():
    rng = np.random.default_rng(0)
    counts = np.repeat([30.0, 100.0, 300.0], 4)
    errors = counts**-0.5 * np.exp(0.3 * rng.standard_normal(12))
    x, y = np.log(counts), np.log(errors)
    design = np.column_stack([x, np.ones(12)])
    solution, residual, *_ = np.linalg.lstsq(design, y, rcond=None)
    covariance = residual[0] / 10 * np.linalg.inv(design.T @ design)
    fit = fit_slope(counts, errors)
    assert fit.slope == pytest.approx(solution[0])
    assert fit.standard_error == pytest.approx(np.sqrt(covariance[0, 0]))


def test_failed_descents_are_left_out_of_the_slope():
    counts = np.array([10.0, 30.0, 100.0, 300.0])
    errors = counts**-0.5
    errors[0] = np.nan
    assert fit_slope(counts, errors).slope == pytest.approx(-0.5)
    with pytest.raises(DataError, match="three numbers of systems, but there are 2"):
        fit_slope(counts, np.array([0.1, np.nan, np.nan, 0.01]))


def test_the_fit_is_to_the_root_mean_square_over_data_sets():
    parts = []
    for count in (30, 100, 300):
        # One data set of the first size has no error at all, by luck; one descent diverged.
        errors = np.array([2.0, 0.0, np.nan if count == 100 else 2.0]) * count**-0.5
        values = {name: variable("repeat", errors, name) for name in ("law_error", "noise_error")}
        values["systems"] = variable("repeat", [count] * 3, "number of systems")
        parts.append(xr.Dataset(values))
    joined, metrics = error_metrics(parts)
    expected = 2 * np.array([2 / 3, 1 / 2, 2 / 3]) ** 0.5 * np.array([30.0, 100.0, 300.0]) ** -0.5
    np.testing.assert_allclose(joined["law_error_rms"], expected)
    assert metrics["noise_error_slope"] == fit_slope(np.array([30, 100, 300]), expected).slope
    assert (metrics["error_data_sets"], metrics["error_descents_diverged"]) == (9, 1)


def test_errors_fall_with_the_number_of_systems():
    parts = []
    for count in (50, 200, 800):
        problem, alpha, gamma = curve_problem(count=4 * count, seed=count)
        covariance = problem.noise.covariance(torch.from_numpy(gamma)).numpy()
        parts.append(
            errors_of_repeats(
                problem, answer_from(alpha, gamma), problem.law.to_natural(alpha), covariance, 4
            )
        )
    errors, metrics = error_metrics(parts)
    assert errors["systems"].values.tolist() == [50] * 4 + [200] * 4 + [800] * 4
    assert metrics["error_descents_diverged"] == 0
    for name in ("law_error", "noise_error"):
        # Root mean squares of four errors scatter by a factor e^0.3 or so, which leaves the slope
        # within about 0.15 of that of sampling errors; three of these.
        assert metrics[f"{name}_slope"] == pytest.approx(-0.5, abs=0.45)


def test_repeats_share_no_system_and_a_divergence_costs_one_of_them(capsys):
    problem, alpha, gamma = curve_problem(count=90)
    seen = []

    def diverges_once(part):
        seen.append(part)
        if len(seen) == 2:
            raise DivergenceError("an observation of the model is not finite")
        return answer_from(alpha, gamma)(part)

    errors = errors_of_repeats(problem, diverges_once, problem.law.to_natural(alpha), np.eye(8), 3)
    np.testing.assert_array_equal(np.concatenate([part.data for part in seen]), problem.data)
    assert len({part.stage for part in seen}) == 3
    assert np.isnan(errors["law_error"].values).tolist() == [False, True, False]
    assert "not finite" in capsys.readouterr().out
