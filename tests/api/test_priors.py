"""Priors through ``popinv.fit``, beside the posterior of a one-way layout by SciPy."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.optimize import minimize
from slopes import curvature, slopes

import popinv
from popinv.errors import ConfigError

EACH = 3
PRIOR = {
    "a": {
        "mean": {"normal": {"mean": 0.5, "standard_deviation": 0.3}},
        "standard_deviation": {"half_normal": 0.4},
    }
}
# Of observations in three dimensions.
FEW_DIRECTIONS = {"directions": 16}
NOISE_PRIOR = {
    "standard_deviation": {"half_student_t": {"degrees_of_freedom": 4, "scale": 0.1}},
}


def simulate(z):
    return z.expand(-1, EACH) * torch.ones(EACH, dtype=z.dtype)


def layout(count, deviation=0.7, noise=0.3, seed=1):
    """Return observations of a one-way layout."""
    rng = np.random.default_rng(seed)
    z = rng.normal(1.0, deviation, size=count)
    return z[:, None] + noise * rng.normal(size=(count, EACH))


def fit(data, prior=None, noise_prior=None, **keys):
    law = {"kind": "normal", "start": {"a": {"mean": 0.3, "standard_deviation": 0.5}}}
    noise = {"kind": "isotropic"}
    law |= {} if prior is None else {"prior": prior}
    noise |= {} if noise_prior is None else {"prior": noise_prior}
    keys = {"estimator": "likelihood", "tests": False, "progress": False, **keys}
    return popinv.fit(data, simulate, law=law, noise=noise, **keys)


@cache
def fitted(count, with_prior, estimator):
    priors = (PRIOR, NOISE_PRIOR) if with_prior else (None, None)
    return fit(layout(count), *priors, estimator=estimator)


def log_likelihood(p, data):
    """Return the log likelihood at (mean, log deviation, log noise)."""
    mean, deviation, noise = p[0], np.exp(p[1]), np.exp(p[2])
    covariance = deviation**2 + noise**2 * np.eye(EACH)
    return stats.multivariate_normal(np.full(EACH, mean), covariance).logpdf(data).sum()


def log_prior(p):
    """Return the density of mean, deviation and noise themselves."""
    of_mean = stats.norm(0.5, 0.3).logpdf(p[0])
    of_noise = np.log(2) + stats.t(4, scale=0.1).logpdf(np.exp(p[2]))
    return of_mean + stats.halfnorm(scale=0.4).logpdf(np.exp(p[1])) + of_noise


def log_posterior(p, data):
    return log_likelihood(p, data) + log_prior(p)


def mode(data):
    found = minimize(lambda p: -log_posterior(p, data), [1.0, -0.4, -1.2], method="BFGS")
    return found.x


def unconstrained(result):
    population = result.population
    return np.concatenate([population["alpha"].values, population["gamma"].values])


def test_the_likelihood_gives_mode_and_curvature_of_the_posterior():
    data, result = layout(30), fitted(30, True, "likelihood")
    p = unconstrained(result)
    np.testing.assert_allclose(p, mode(data), atol=2e-3)
    information = -curvature(lambda q: log_posterior(q, data), p, 1e-4)
    found = result.population["sampling_covariance"].values
    np.testing.assert_allclose(found, np.linalg.inv(information), rtol=1e-3, atol=3e-6)
    # The prior matters here.
    alone = unconstrained(fitted(30, False, "likelihood"))
    assert np.abs(p - alone)[0] > 0.1 * np.sqrt(found[0, 0])


def test_the_pseudo_likelihood_has_the_same_mode():
    # The observations are normal.
    data, result = layout(30), fitted(30, True, "pseudo_likelihood")
    p = unconstrained(result)
    np.testing.assert_allclose(p, mode(data), atol=2e-3)
    # The mean is independent of the variances, whose information is the expected one.
    information = -curvature(lambda q: log_posterior(q, data), p, 1e-4)[0, 0]
    found = result.population["sampling_covariance"].values[0, 0]
    assert found == pytest.approx(1 / information, rel=0.05)


def test_the_distance_weighs_a_system_by_its_noise():
    data = layout(30, deviation=0.2)
    prior = {"a": {"mean": {"normal": {"mean": 0.8, "standard_deviation": 0.03}}}}
    result = fit(data, prior, estimator="distance", descent=FEW_DIRECTIONS)
    mean, _, noise = unconstrained(result)
    # N J is quadratic in the mean, with the precision of the noise of each system.
    weight = 30 * EACH / np.exp(2 * noise)
    expected = (weight * data.mean() + 0.8 / 0.03**2) / (weight + 1 / 0.03**2)
    assert 0.84 < expected < 0.95 < data.mean()
    assert mean == pytest.approx(expected, abs=0.01)
    # The standard error is A^{-1} B A^{-1}, with the prior in both A and B.
    of_data = (weight / 30) ** 2 * np.sum((data.mean(axis=1) - mean) ** 2)
    squares = of_data + 1 / 0.03**2
    found = result.population["sampling_covariance"].values[0, 0]
    assert found == pytest.approx(squares / (weight + 1 / 0.03**2) ** 2, rel=0.15)


@pytest.mark.full
def test_the_distance_takes_a_prior_beside_noise_of_any_covariance():
    data = layout(60)
    law = {
        "kind": "normal",
        "start": {"a": {"mean": 0.3, "standard_deviation": 0.5}},
        "prior": {"a": {"mean": {"normal": {"mean": 0.5, "standard_deviation": 0.005}}}},
    }
    keys = {"estimator": "pseudo_likelihood", "descent": FEW_DIRECTIONS, "progress": False}
    distance = popinv.fit(data, simulate, law=law, noise="full", **keys).artefacts["distance"]
    mean = distance["law"].values[0]
    solved = np.linalg.solve(distance["noise_covariance"].values, np.ones(EACH))
    weight = 60 * solved.sum()
    at_data = data.mean(axis=0) @ solved / solved.sum()
    expected = (weight * at_data + 0.5 / 0.005**2) / (weight + 1 / 0.005**2)
    assert 0.51 < expected < 0.6
    assert mean == pytest.approx(expected, abs=0.003)


@pytest.mark.full
def test_the_effect_of_a_prior_falls_with_the_number_of_systems():
    shifts = []
    for count in (30, 120, 480):
        with_prior, without = (unconstrained(fitted(count, p, "likelihood")) for p in (True, False))
        shifts.append(count * (with_prior - without))
    # N times the shift tends to the slope of the log prior over the information of one system.
    data = layout(480)
    at = unconstrained(fitted(480, False, "likelihood"))
    each = -curvature(lambda q: log_likelihood(q, data), at, 1e-4) / 480
    limit = np.linalg.solve(each, slopes(log_prior, at, 1e-5))
    np.testing.assert_allclose(shifts[2], limit, rtol=0.15, atol=0.05)
    assert np.all(np.abs(shifts[0] - shifts[2]) < 0.6 * np.abs(shifts[2]) + 0.1)


def test_the_log_likelihood_and_criteria_are_without_the_prior():
    data, result = layout(30), fitted(30, True, "likelihood")
    found = result.answer.likelihood
    value = log_likelihood(unconstrained(result), data)
    assert found.value == pytest.approx(value, abs=1e-6)
    assert found.aic == pytest.approx(6 - 2 * value, abs=1e-6)
    assert found.bic == pytest.approx(3 * np.log(30) - 2 * value, abs=1e-6)


def test_a_result_states_its_priors():
    result = fitted(30, True, "likelihood")
    assert "the intervals posterior intervals" in str(result)
    told = result.check().loc["Prior", "finding"]
    assert "law a mean: normal (mean 0.5, standard deviation 0.3)" in told
    assert "noise standard deviation: half-Student-t (degrees of freedom 4, scale 0.1)" in told
    assert "half-normal of scale 0.4" in result.metrics["prior"]
    assert "without the density of the prior" in result.check().loc["Log likelihood", "finding"]
    alone = fitted(30, False, "likelihood")
    assert "prior" not in alone.metrics
    assert "Prior" not in alone.check().index
    assert "posterior" not in str(alone)


@pytest.mark.full
def test_a_prior_away_from_zero_leaves_no_boundary_at_zero():
    # The systems' means vary less than the noise alone would make them.
    data = layout(12, deviation=0.0, seed=2)
    means = data.mean(axis=1, keepdims=True)
    data = data - 0.8 * (means - means.mean())
    prior = {"standard_deviation": {"lognormal": {"mean": -1.5, "standard_deviation": 0.5}}}
    name = "a_standard_deviation"
    alone = fit(data)
    assert "boundary_a_standard_deviation" in alone.metrics
    away = fit(data, {"a": prior})
    assert "boundary_a_standard_deviation" not in away.metrics
    row = away.summary().loc[name]
    assert 0 < row["lower"] < row["estimate"] < row["upper"] < 0.6

    def posterior(p):
        of_prior = stats.lognorm(0.5, scale=np.exp(-1.5)).logpdf(np.exp(p[1]))
        return log_likelihood(p, data) + of_prior

    expected = minimize(lambda p: -posterior(p), [1.0, -2.0, -1.2], method="BFGS").x
    np.testing.assert_allclose(unconstrained(away), expected, atol=5e-3)
    # Half of a normal density is flat at zero, and so is the likelihood.
    flat = fit(data, {"a": {"standard_deviation": {"half_normal": 0.5}}})
    assert flat.metrics["boundary_a_standard_deviation"] == "zero"


def test_weak_priors_move_little():
    weak, alone = fit(layout(30), "weak", "weak"), fitted(30, False, "likelihood")
    error = np.sqrt(np.diag(alone.population["sampling_covariance"].values))
    shift = np.abs(unconstrained(weak) - unconstrained(alone)) / error
    assert np.all(shift < 0.1)
    assert len(weak.answer.prior) == 3


@pytest.mark.full
def test_a_prior_of_an_unrestricted_covariance():
    signal = np.array([1.0, 2.0, -1.0])
    rng = np.random.default_rng(1)
    deviations = np.array([0.3, 0.2, 0.4])
    noise = deviations * rng.standard_normal((40, 3)) + 0.1 * rng.standard_normal((40, 1))
    data = rng.normal(1.0, 0.7, (40, 1)) * signal + noise
    prior = {
        "standard_deviation": {"lognormal": {"mean": -1.6, "standard_deviation": 0.1}},
        "correlations": {"lkj": 15},
    }
    result = popinv.fit(
        data,
        lambda z: z * torch.from_numpy(signal),
        law={"kind": "normal", "start": {"a": {"mean": 0.3, "standard_deviation": 0.5}}},
        noise={"kind": "full", "shrinkage": 0.0, "prior": prior},
        estimator="likelihood",
        descent=FEW_DIRECTIONS,
        progress=False,
    )
    places = np.tril_indices(3, -1)

    def matrix(p):
        rows = np.eye(3)
        rows[places] = p
        rows /= np.linalg.norm(rows, axis=1)[:, None]
        return rows @ rows.T

    def negative(p):
        own, correlation = np.exp(p[2:5]), matrix(p[5:])
        covariance = np.exp(2 * p[1]) * np.outer(signal, signal)
        covariance = covariance + correlation * np.outer(own, own)
        value = stats.multivariate_normal(p[0] * signal, covariance).logpdf(data).sum()
        value += stats.lognorm(0.1, scale=np.exp(-1.6)).logpdf(own).sum()
        return -value - 14 * np.linalg.slogdet(correlation)[1]

    found = minimize(negative, [1, -0.3, -1.6, -1.6, -1.6, 0.1, 0.1, 0.1], method="BFGS").x
    expected = [found[0], *np.exp(found[1:5]), *matrix(found[5:])[places]]
    np.testing.assert_allclose(result.summary()["estimate"], expected, atol=2e-3)
    distance = result.artefacts["distance"]
    assert distance.attrs["arrived"]
    # The prior counts less in the distance; without it, the third deviation is beyond 0.35.
    assert 0.19 < distance["noise"].values[2] < 0.32


@pytest.mark.parametrize(
    ("prior", "noise_prior", "said"),
    [
        ({"b": {"mean": "weak"}}, None, "the law has no parameter 'b_mean'. Did you mean 'a_mean'"),
        (
            {"a": {"standard_deviation": {"half_normal": 0}}},
            None,
            "got 0, but it must be greater than 0",
        ),
        (
            {"a": {"mean": {"beta": {"a": 2, "b": 2}}}},
            None,
            "beta is a prior of a correlation or a share, but 'a_mean' must be a number",
        ),
        (
            {"a": {"mean": {"half_normal": 1}}},
            None,
            "half_normal is a prior of a positive parameter, but 'a_mean' must be a number",
        ),
        ({"correlations": {"lkj": 2}}, None, "the law has no correlation matrix"),
        (None, {"sigma": {"half_normal": 1}}, "the noise has no parameter 'sigma'"),
        (None, "strong", 'got "strong"'),
    ],
)
def test_a_prior_that_does_not_fit_is_refused(prior, noise_prior, said):
    with pytest.raises(ConfigError) as raised:
        fit(layout(30), prior, noise_prior)
    assert said in str(raised.value)
    assert ".prior" in str(raised.value)
