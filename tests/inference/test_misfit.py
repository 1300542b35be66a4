"""The misfit flag: its size under the null, its power, and what it says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr
from problems import curve_problem

from popinv.inference.assessment import heldout_tests
from popinv.inference.fitted_samples import FittedModel
from popinv.inference.heldout_test import HeldOutTest
from popinv.inference.likelihood.fit_pseudo import fit_pseudo_likelihood
from popinv.inference.misfit import Misfit, SecondMoments, describe_excess, noise_misfit_metrics
from popinv.population.noise.autoregressive.noise import AutoregressiveNoise
from popinv.population.noise.diagonal.noise import DiagonalNoise
from popinv.population.noise.full.noise import FullNoise
from popinv.population.noise.isotropic.noise import IsotropicNoise

OBSERVATIONS = xr.Dataset({"y": (("system", "observation"), np.zeros((1, 8)))})


def fitted(problem, noise, start):
    """Return the model of another noise fitted to the data, with draws of its normal law."""
    scale = np.concatenate([problem.scale[:4], noise.scale])
    problem = replace(problem, noise=noise, scale=scale)
    estimate = fit_pseudo_likelihood(problem, [start])
    every = np.random.default_rng(0).multivariate_normal(
        estimate.p, estimate.total_covariance, size=60
    )
    return FittedModel(problem, estimate.p, every)


def misfit(model, heldout, resamples):
    return heldout_tests(model, heldout, resamples).misfit


def test_its_size_is_right_where_the_truth_is_known(monkeypatch):
    # Data and null meet the same reference, so that a smaller one changes no size; the other
    # tests' parts are not looked at.
    for name, size in {
        "_REFERENCE_SAMPLES": 4000, "_ENERGY_SAMPLES": 200, "_DIRECTIONS": 10,
        "_LOG_SCORE_DRAWS": 2,
    }.items():  # fmt: skip
        monkeypatch.setattr(f"popinv.inference.assessment.{name}", size)
    problem, alpha, gamma = curve_problem(count=50)
    p = np.concatenate([alpha, gamma])
    rejected = 0
    for seed in range(100):
        heldout = curve_problem(count=50, seed=1000 + seed)[0].data
        model = FittedModel(replace(problem, seed=seed), p, p[None])
        rejected += misfit(model, heldout, 40).test.p_value < 0.1
    # Binomial with probability .1 (3 of 41 ranks: .073): 2 to 15 with probability .98.
    assert 2 <= rejected <= 15


@pytest.mark.parametrize("family", ["isotropic", "diagonal"])
def test_independent_noise_on_correlated_data_is_flagged(family):
    problem, alpha, _ = curve_problem(count=600)
    noise = {"isotropic": IsotropicNoise(8), "diagonal": DiagonalNoise(8)}[family]
    start = np.concatenate([alpha, np.full(len(noise.names), np.log(0.1))])
    model = fitted(problem, noise, start)
    heldout = curve_problem(count=400, seed=5)[0].data
    numbers = noise_misfit_metrics(misfit(model, heldout, 60), OBSERVATIONS)
    assert numbers["noise_misfit_p_value"] == pytest.approx(1 / 61)
    assert numbers["noise_misfit_statistic"] > numbers["noise_misfit_null_95"]
    assert str(numbers["noise_misfit"]).startswith("second moments differ, most by ")
    assert "law or surrogate that is wrong can do this too" in str(numbers["noise_misfit"])


def test_the_right_family_is_not_flagged():
    problem, alpha, gamma = curve_problem(count=600)
    model = fitted(problem, problem.noise, np.concatenate([alpha, gamma]))
    p_values = []
    for seed in range(5):
        heldout = curve_problem(count=400, seed=50 + seed)[0].data
        numbers = noise_misfit_metrics(misfit(model, heldout, 60), OBSERVATIONS)
        p_values.append(numbers["noise_misfit_p_value"])
        if p_values[-1] >= 0.05:
            assert numbers["noise_misfit"] == "none seen"
    # Under the null the median of five is below .05 with probability .001.
    assert np.median(p_values) > 0.05


def test_the_error_of_unrestricted_noise_counts_in_the_null():
    # The estimate of every entry errs as much as the held-out moments do.
    problem, alpha, gamma = curve_problem(count=300)
    noise = FullNoise(8, shrinkage=0.05)
    factor = torch.linalg.cholesky(problem.noise.covariance(torch.from_numpy(gamma)))
    model = fitted(problem, noise, np.concatenate([alpha, noise.from_cholesky(factor).numpy()]))
    heldout = curve_problem(count=300, seed=7)[0].data
    with_error = misfit(model, heldout, 60).test
    without = misfit(replace(model, draws=model.p[None]), heldout, 60).test
    assert with_error.null.mean() > 1.2 * without.null.mean()
    assert with_error.p_value > 0.02


def test_normal_log_scores_are_those_of_scipy():
    from scipy.stats import multivariate_normal

    rng = np.random.default_rng(0)
    reference = rng.standard_normal((50_000, 3)) @ np.array([[1, 0.3, 0], [0, 1, 0], [0, 0.2, 2.0]])
    moments = SecondMoments.of(reference)
    y = rng.standard_normal((5, 3))
    mean, covariance = reference.mean(axis=0), np.cov(reference, rowvar=False)
    exact = multivariate_normal.logpdf(y, mean, covariance)
    np.testing.assert_allclose(moments.log_scores(y), exact, rtol=1e-10)


def test_the_null_is_described_by_samples_that_come_one_at_a_time() -> None:
    null = 3 + np.random.default_rng(0).standard_normal((200, 4, 4))
    observed = np.eye(4)
    misfit = Misfit.of(observed, (excess for excess in null))
    expected = (observed - null.mean(axis=0)) / null.std(axis=0)
    np.testing.assert_allclose(misfit.significance, expected, rtol=1e-12)
    np.testing.assert_allclose(misfit.test.null, (null**2).sum(axis=(1, 2)) / 4)
    assert misfit.test.statistic == 1.0


def of_excess(excess: np.ndarray, significance: np.ndarray | None = None) -> Misfit:
    test = HeldOutTest(1.0, np.zeros(20))
    return Misfit(test, excess, excess if significance is None else significance)


def test_it_names_the_pair_or_the_observation():
    names = [f"observation {i}" for i in range(1, 5)]
    excess = np.zeros((4, 4))
    excess[3, 1] = excess[1, 3] = -0.4
    text = describe_excess(of_excess(excess), names)
    assert text == "excess correlation -0.40 between observation 2 and observation 4"
    excess[2, 2] = 0.9
    assert describe_excess(of_excess(excess), names) == "variance +90% at observation 3"


def test_it_names_the_lag_of_a_time_series():
    series = np.arange(12).reshape(2, 6)
    one = AutoregressiveNoise(2, 6, order=1)
    gamma = one.from_natural({"standard_deviation": 1.0, "correlation": 0.3})
    excess = one.covariance(torch.from_numpy(gamma)).numpy() - np.eye(12)
    text = describe_excess(of_excess(excess), ["a"] * 12, series)
    assert text == "excess correlation +0.30 in time at lag 1"


def test_time_series_are_recognised_by_their_coordinate():
    problem, alpha, gamma = curve_problem(count=300)
    times = xr.Variable("observation", np.tile(np.arange(4.0), 2))
    observations = OBSERVATIONS.assign_coords(observation_t=times)
    heldout = curve_problem(count=300, seed=7)[0].data.copy()
    # Correlation from each time to the next, at both places.
    extra = np.random.default_rng(0).standard_normal((300, 2, 5))
    heldout += 0.2 * (extra[:, :, 1:] + extra[:, :, :-1]).reshape(300, 8)
    p = np.concatenate([alpha, gamma])
    text = noise_misfit_metrics(misfit(FittedModel(problem, p, p[None]), heldout, 30), observations)
    assert "second moments differ" in str(text["noise_misfit"])
