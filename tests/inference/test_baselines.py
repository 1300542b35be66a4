"""Baselines: likelihood against SciPy, two stages and their bias, and the table."""

from __future__ import annotations

import csv
from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr
from problems import curve_problem
from scipy import stats
from slopes import slopes

from popinv.baselines.comparison import comparison, seconds_of, write_table
from popinv.baselines.hierarchical import Energy
from popinv.baselines.two_stage import first_design_prior, fit_systems, two_stage
from popinv.errors import DataError
from popinv.inference.answer.result import answer_dataset
from popinv.inference.density.conditions import Conditions
from popinv.inference.density.densities import log_likelihood
from popinv.inference.density.problem import Problem
from popinv.population.laws.gaussian import lognormal_law, normal_law
from popinv.population.noise.unstructured import IsotropicNoise


def with_conditions(problem: Problem) -> Problem:
    """Return the problem with noise scales and a tenth of its entries missing."""
    rng = np.random.default_rng(7)
    shape = problem.data.shape
    present = rng.random(shape) > 0.1
    scale = np.exp(rng.uniform(-0.5, 0.5, shape[0]))
    return replace(problem, conditions=Conditions.stated(shape, scale, present, np.zeros(shape[1])))


def linear_problem(count: int, sigma: float, d_y: int = 6, seed: int = 0) -> tuple:
    """Return (problem, alpha, gamma) of y = A z + isotropic noise, two normal parameters."""
    rng = np.random.default_rng(seed)
    a = rng.standard_normal((d_y, 2))
    z = np.array([1.0, -0.5]) + np.array([0.5, 0.3]) * rng.standard_normal((count, 2))
    data = z @ a.T + sigma * rng.standard_normal((count, d_y))
    matrix = torch.from_numpy(a)
    # A scale of 3 makes the prior of a system so weak that the fits are least squares.
    scale = np.array([3.0, 3.0, 3.0, 3.0, 0.5])
    problem = Problem(
        data, lambda x: x @ matrix.T, normal_law(["a", "b"]), IsotropicNoise(d_y), scale
    )
    return problem, np.array([1.0, -0.5, np.log(0.5), np.log(0.3)]), np.array([np.log(sigma)]), a


@pytest.mark.parametrize("conditions", [False, True])
def test_log_likelihood_is_that_of_the_entries_that_were_seen(conditions):
    problem, _, gamma = curve_problem(count=12)
    problem = with_conditions(problem) if conditions else problem
    residuals = np.random.default_rng(1).standard_normal((12, 8))
    signal = torch.from_numpy(problem.data - residuals)
    evaluation = log_likelihood(problem, torch.from_numpy(gamma), signal)
    covariance = problem.noise.covariance(torch.from_numpy(gamma)).numpy()
    for n in range(12):
        seen = problem.conditions.present[n] if conditions else np.ones(8, dtype=bool)
        scale = problem.conditions.scale[n] if conditions else 1.0
        block = scale**2 * covariance[np.ix_(seen, seen)]
        expected = stats.multivariate_normal(cov=block).logpdf(residuals[n, seen])
        assert float(evaluation[n]) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("share", [1.0, 0.05])
def test_a_system_is_fitted_by_weighted_least_squares_with_its_prior(share):
    # Linear model: the fit is the solution of the normal equations, in closed form.
    problem, alpha, gamma, a = linear_problem(30, sigma=0.4)
    prior = first_design_prior(problem, alpha)
    prior = replace(prior, deviation=share * prior.deviation)
    start = prior.mean.expand(30, 2).clone()
    fits = fit_systems(problem, gamma, prior, start).numpy()
    precision = np.diag(prior.deviation.numpy() ** -2)
    matrix = a.T @ a / 0.16 + precision
    right = problem.data @ a / 0.16 + precision @ prior.mean.numpy()
    # Gauss-Newton is exact but for its damping, which falls by 5 with each step.
    np.testing.assert_allclose(fits, np.linalg.solve(matrix, right.T).T, rtol=1e-4, atol=1e-4)


def test_the_fit_of_a_system_does_not_depend_on_the_others():
    problem, alpha, gamma = curve_problem(count=9)
    prior = first_design_prior(problem, alpha)
    start = prior.mean.expand(9, 2).clone()
    together = fit_systems(problem, gamma, prior, start)
    alone = fit_systems(problem.of_systems(np.array([4])), gamma, prior, start[:1])
    # But for the order of sums in batches of another size.
    torch.testing.assert_close(together[4:5], alone, rtol=1e-9, atol=1e-9)


def test_two_stages_recover_the_law_when_the_noise_is_low():
    problem, alpha, gamma = curve_problem(count=500, amplitude=0.005)
    fit = two_stage(problem, (alpha + 0.4, gamma + 0.5))
    # Standard errors of 500 systems whose parameters are known: s / sqrt(N), 1 / sqrt(2 N).
    errors = np.array([0.3, 0.25, np.sqrt(0.5), np.sqrt(0.5)]) / np.sqrt(500)
    assert np.all(np.abs(fit.alpha - alpha) < 4 * errors)


def test_two_stages_have_the_bias_of_the_closed_form_at_any_number_of_systems():
    # Linear model, least squares: Var z_hat = S + sigma^2 (A^T A)^{-1}, and the residuals keep
    # the share 1 - d_z / d_y of the noise.
    problem, alpha, gamma, a = linear_problem(4000, sigma=0.8)
    fit = two_stage(problem, (alpha, gamma))
    error = 0.64 * np.diag(np.linalg.inv(a.T @ a))
    variance = np.array([0.25, 0.09]) + error
    # A variance of 4000 draws is good to 2.2 %, and the weak prior shrinks it by less than 2 %.
    np.testing.assert_allclose(np.exp(2 * fit.alpha[2:]), variance, rtol=0.1)
    assert np.exp(2 * fit.gamma[0]) == pytest.approx(0.64 * (1 - 2 / 6), rel=0.03)
    # The law is far too wide: the bias is no matter of chance.
    assert np.all(np.exp(2 * fit.alpha[2:]) > 1.3 * np.exp(2 * alpha[2:]))


def test_two_stages_keep_positive_parameters_positive_and_heed_conditions():
    rng = np.random.default_rng(3)
    z = np.exp(0.2 + 0.4 * rng.standard_normal((400, 1)))
    scale = np.exp(rng.uniform(-1, 1, 400))
    clean = np.repeat(z, 5, axis=1)
    data = clean + 0.05 * scale[:, None] * rng.standard_normal((400, 5))
    present = rng.random((400, 5)) > 0.2
    problem = Problem(
        np.where(present, data, 0.0),
        lambda x: x.expand(-1, 5),
        lognormal_law(["k"]),
        IsotropicNoise(5),
        np.array([1.0, 1.0, 0.5]),
        conditions=Conditions.stated(present.shape, scale, present, np.zeros(5)),
    )
    fit = two_stage(problem, (np.array([0.0, -1.0]), np.array([np.log(0.2)])))
    assert fit.z.min() > 0
    # Four standard errors of the wider one, log 0.4 of 400 systems: 0.035.
    np.testing.assert_allclose(fit.alpha, [0.2, np.log(0.4)], atol=0.14)
    # Of 4 entries seen on average, one is taken up by the fit.
    assert np.exp(fit.gamma[0]) == pytest.approx(0.05 * np.sqrt(1 - 1 / 4), rel=0.06)


@pytest.mark.parametrize("conditions", [False, True])
def test_the_energy_is_minus_the_log_posterior_and_its_gradient(conditions):
    problem, alpha, gamma = curve_problem(count=4)
    problem = with_conditions(problem) if conditions else problem
    energy = Energy(problem, np.concatenate([alpha, gamma]))
    assert energy.dimension == 6 + 4 * 2
    q = 0.1 * np.random.default_rng(4).standard_normal(energy.dimension)
    value, gradient = energy(q)
    p = torch.from_numpy(energy.parameters(q))
    # The prior is three scales wide, here 1.5.
    np.testing.assert_allclose(p.numpy(), np.concatenate([alpha, gamma]) + 1.5 * q[:6])
    z = problem.law.sample(p[:4], torch.from_numpy(q[6:].reshape(4, 2)))
    expected = q @ q / 2 - float(log_likelihood(problem, p[4:], problem.simulate(z)).sum())
    assert value == pytest.approx(expected, rel=1e-12)
    differences = slopes(lambda at: energy(at)[0], q, 1e-6)
    # Differences of a value of some hundreds carry rounding of 1e-14 * 1e2 / 1e-6.
    assert gradient == pytest.approx(differences, rel=1e-5, abs=1e-4)


def test_an_energy_that_is_not_finite_is_infinite():
    problem, alpha, gamma = curve_problem(count=2)
    bad = replace(problem, simulate=lambda z: torch.nan * problem.simulate(z))
    energy = Energy(bad, np.concatenate([alpha, gamma]))
    value, gradient = energy(np.zeros(energy.dimension))
    assert value == np.inf
    np.testing.assert_array_equal(gradient, 0.0)


def answers() -> tuple[dict[str, xr.Dataset], xr.Dataset]:
    problem, alpha, gamma = curve_problem(count=2)
    truth = answer_dataset(problem, alpha, gamma)
    off = answer_dataset(problem, alpha + np.log(1.1) * np.array([0, 0, 1, 1]), gamma)
    louder = answer_dataset(problem, alpha, gamma + np.array([np.log(1.1), 0.0]))
    some = answer_dataset(problem, alpha, gamma, {"systems_used": 2, "divergences": 3})
    for part in ("law", "noise"):
        some[f"{part}_split_r_hat"] = xr.full_like(some[part], 1.2)
    return {"blind": off, "noise_known": off, "law_known": louder, "nuts": some}, truth


def test_the_table_holds_errors_costs_and_what_to_be_wary_of(tmp_path):
    given, truth = answers()
    seconds = dict.fromkeys(given, 2.5)
    table = comparison(given, seconds, systems=10, solver_calls=700, truth=truth)
    # Two of four parameters are off by a tenth.
    rms = np.sqrt(2 * 0.1**2 / 4)
    assert table["blind"]["alpha_relative_error_rms"] == pytest.approx(rms, rel=1e-9)
    assert table["blind"]["noise_covariance_relative_frobenius_error"] == 0
    assert table["noise_known"]["noise_covariance_relative_frobenius_error"] is None
    assert table["law_known"]["alpha_relative_error_rms"] is None
    noise_error = table["law_known"]["noise_covariance_relative_frobenius_error"]
    assert noise_error == pytest.approx(1.1**2 - 1)
    assert table["nuts"]["systems"] == 2
    assert table["blind"]["systems"] == 10
    assert table["nuts"]["note"] == (
        "2 of 10 systems; the chain has not settled (split R-hat 1.20); 3 divergences"
    )
    assert table["blind"]["alpha_decay_mean"] == pytest.approx(0.5)
    write_table(table, tmp_path / "table.csv")
    with (tmp_path / "table.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["method"] for row in rows] == list(given)
    assert rows[1]["noise_covariance_relative_frobenius_error"] == ""
    assert float(rows[0]["seconds"]) == 2.5


def test_without_a_truth_there_are_no_errors():
    given, _ = answers()
    table = comparison(given, dict.fromkeys(given, 1.0), systems=2, solver_calls=1)
    assert table["blind"]["alpha_relative_error_rms"] is None


def test_seconds_come_from_a_benchmark_file(tmp_path):
    file = tmp_path / "job.tsv"
    file.write_text("s\th:m:s\n12.5\t0:00:12\n")
    assert seconds_of(file) == 12.5
    file.write_text("nothing\n")
    with pytest.raises(DataError, match="not a benchmark file"):
        seconds_of(file)
