"""Predictions of new systems, beside the closed form of lines with normal, correlated noise."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import chi2, norm
from study_sections import moments

import popinv
from popinv.errors import ConfigError, DataError
from popinv.methods.posterior.prediction import _SeenEntries

TIMES = np.linspace(0.0, 1.0, 6)
NAMES = [f"s{i} [mm]" for i in range(6)]
LAW: dict[str, Any] = {
    "kind": "normal",
    "covariates": {"a": ["w"]},
    "start": moments(a=(1.0, 1.0), b=(-0.5, 0.5)),
}


def line(z: torch.Tensor, times: Any, design: torch.Tensor) -> torch.Tensor:
    """Return a + b load t."""
    return z[:, :1] + z[:, 1:2] * design * torch.as_tensor(times, dtype=z.dtype)


def table(count: int, seed: int) -> pd.DataFrame:
    """Return lines with noise whose correlation falls exponentially."""
    rng = np.random.default_rng(seed)
    w, load = rng.normal(2.0, 1.0, count), rng.uniform(0.5, 1.5, count)
    a = 1.0 + 0.4 * (w - 2.0) + 0.8 * rng.standard_normal(count)
    b = -0.5 + 0.5 * rng.standard_normal(count)
    covariance = 0.09 * np.exp(-np.abs(TIMES[:, None] - TIMES) / 0.3)
    noise = rng.standard_normal((count, 6)) @ np.linalg.cholesky(covariance).T
    y = a[:, None] + (b * load)[:, None] * TIMES + noise
    frame = pd.DataFrame(y, columns=NAMES)
    return frame.assign(w=w, load=load, name=[f"n{i}" for i in range(count)])


@pytest.fixture(scope="module")
def result(quick: dict[str, Any]) -> popinv.Result:
    return popinv.fit(
        table(30, 1),
        line,
        law=LAW,
        noise={"kind": "kernel", "start": {"amplitude": 0.5, "length": 0.5}},
        parameters=["a", "b"],
        design=["load"],
        times=TIMES,
        observations={"units": "mm"},
        system_column="name",
        **quick,
    )


class ClosedForm:
    """The normal law of parameters and observations of one system, at the estimate."""

    def __init__(self, result: popinv.Result, row: pd.Series, times: np.ndarray) -> None:
        law = result.summary()["estimate"]
        centre = float(result.observations["covariate_centre"].values[0])
        shift = law["a_w_coefficient"] * (row["w"] - centre)
        self.mean = np.array([law["a_mean"] + shift, law["b_mean"]])
        self.prior = np.diag([law["a_standard_deviation"] ** 2, law["b_standard_deviation"] ** 2])
        self.design = np.column_stack([np.ones(len(times)), row["load"] * times])
        distance = np.abs(times[:, None] - times)
        self.noise = law["noise_amplitude"] ** 2 * np.exp(-distance / law["noise_length"])
        self.of_y = self.design @ self.prior @ self.design.T + self.noise

    def parameters(self, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        seen = np.isfinite(y)
        g = self.design[seen]
        gain = np.linalg.solve(self.of_y[np.ix_(seen, seen)], g @ self.prior).T
        mean = self.mean + gain @ (y[seen] - g @ self.mean)
        return mean, np.sqrt(np.diag(self.prior - gain @ g @ self.prior))

    def observed(self, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and deviation at all places, given those that were seen."""
        seen = np.isfinite(y)
        gain = np.linalg.solve(self.of_y[np.ix_(seen, seen)], self.of_y[seen]).T
        mean = self.design @ self.mean + gain @ (y[seen] - self.design[seen] @ self.mean)
        variance = np.diag(self.of_y - gain @ self.of_y[seen])
        return mean, np.sqrt(np.maximum(variance, 0.0))

    def p_value(self, y: np.ndarray) -> float:
        seen = np.isfinite(y)
        r = y[seen] - self.design[seen] @ self.mean
        return float(chi2.sf(r @ np.linalg.solve(self.of_y[np.ix_(seen, seen)], r), seen.sum()))


@pytest.fixture(scope="module")
def new() -> pd.DataFrame:
    frame = table(4, 2)
    frame.loc[0, NAMES[2:]] = np.nan
    frame.loc[1, NAMES[:4]] = np.nan
    return frame.drop(columns=[NAMES[5]])


# Means of 300 effective draws have errors of 0.06 deviations, and deviations errors of 0.04.
DRAWN: dict[str, Any] = {"law_and_noise": "fixed", "effective": 300, "kept_draws": 600}
LATER = [0.35, 1.1]


@pytest.fixture(scope="module")
def everywhere(result, new):
    return result.predict(new, at=[*TIMES, *LATER], **DRAWN)


@pytest.fixture(scope="module")
def predicted(everywhere):
    """Return the predictions at the sensors."""
    return everywhere.sel(observation=~np.isin(everywhere["observation_t"], LATER))


def rows(new: pd.DataFrame) -> list[tuple[int, pd.Series, np.ndarray]]:
    every = new.reindex(columns=NAMES)
    return [(i, new.loc[i], every.loc[i].to_numpy(float)) for i in range(len(new))]


def test_parameters_have_the_law_of_the_closed_form(result, new, predicted):
    for i, row, y in rows(new):
        mean, deviation = ClosedForm(result, row, TIMES).parameters(y)
        assert np.all(np.abs(predicted["mean"].values[i] - mean) < 0.22 * deviation)
        np.testing.assert_allclose(predicted["deviation"].values[i], deviation, rtol=0.17)


def test_sensors_that_were_not_seen_have_the_law_of_the_closed_form(result, new, predicted):
    """Their noise is correlated with the residuals at the sensors that were seen."""
    for i, row, y in rows(new):
        mean, deviation = ClosedForm(result, row, TIMES).observed(y)
        unseen = ~np.isfinite(y)
        off = (predicted["observed_mean"].values[i] - mean)[unseen]
        assert np.all(np.abs(off) < 0.22 * deviation[unseen])
        told = predicted["observed_deviation"].values[i][unseen]
        np.testing.assert_allclose(told, deviation[unseen], rtol=0.17)


def test_a_repeat_at_a_sensor_that_was_seen_has_noise_of_its_own(result, new, predicted):
    for i, row, y in rows(new):
        exact = ClosedForm(result, row, TIMES)
        mean, _ = exact.parameters(y)
        signal = exact.design @ mean
        seen = np.isfinite(y)
        off = (predicted["observed_mean"].values[i] - signal)[seen]
        assert np.all(np.abs(off) < 0.22 * predicted["observed_deviation"].values[i][seen])
        square = predicted["observed_deviation"].values[i] ** 2
        without = predicted["signal_deviation"].values[i] ** 2
        np.testing.assert_allclose((square - without)[seen], exact.noise[0, 0], rtol=0.35)


def test_the_p_value_is_that_of_the_closed_form(result, new, predicted):
    for i, row, y in rows(new):
        exact = ClosedForm(result, row, TIMES).p_value(y)
        error = np.sqrt(exact * (1 - exact) / 300)
        assert abs(predicted["p_value"].values[i] - exact) < 4 * error + 2e-3


def test_the_population_has_the_same_design(result, new, predicted):
    for i, row, _ in rows(new):
        exact = ClosedForm(result, row, TIMES)
        deviation = np.sqrt(np.diag(exact.of_y))
        off = predicted["population_mean"].values[i] - exact.design @ exact.mean
        assert np.all(np.abs(off) < 0.2 * deviation)


def test_a_system_without_observations_has_the_law_of_the_population(result):
    told = result.predict({"w": [3.0], "load": [1.2]}, **DRAWN)
    exact = ClosedForm(result, pd.Series({"w": 3.0, "load": 1.2}), TIMES)
    deviation = np.sqrt(np.diag(exact.prior))
    assert np.all(np.abs(told["mean"].values[0] - exact.mean) < 0.22 * deviation)
    np.testing.assert_allclose(told["deviation"].values[0], deviation, rtol=0.17)
    assert np.isnan(told["p_value"].values[0])
    assert np.isnan(told["given"].values).all()


def test_a_function_predicts_any_time(result, new, everywhere):
    """The noise at a later time is correlated with the last residual."""
    told = everywhere.sel(observation=np.isin(everywhere["observation_t"], LATER))
    assert told.sizes["observation"] == 2
    every = np.sort([*TIMES, *LATER])
    for i, row, y in rows(new):
        given = pd.Series(y, TIMES).reindex(every).to_numpy()
        mean, deviation = ClosedForm(result, row, every).observed(given)
        chosen = np.isin(every, LATER)
        off = told["observed_mean"].values[i] - mean[chosen]
        assert np.all(np.abs(off) < 0.22 * deviation[chosen])
        np.testing.assert_allclose(
            told["observed_deviation"].values[i], deviation[chosen], rtol=0.17
        )


def test_law_and_noise_are_uncertain_by_default(result, new):
    told = result.predict(new.iloc[:1], chains=2, most_moves=200)
    assert told.sizes["system"] == 1
    assert list(told["system"].values) == ["n0"]
    assert told["z"].dims == ("chain", "draw", "system", "parameter")
    assert told["observed"].dims == ("chain", "draw", "system", "observation")


@pytest.mark.parametrize(
    ("data", "keywords", "error", "words"),
    [
        ({"s9": [1.0], "w": [1.0], "load": [1.0]}, {}, DataError, "'s9' is no sensor .* s0"),
        ({"s1 [cm]": [1.0], "w": [1.0], "load": [1.0]}, {}, DataError, "in 'cm', but .* 'mm'"),
        ({"s1": [1.0], "w": [1.0]}, {}, DataError, "no column 'load'"),
        ({"s1": [1.0], "w": [1.0], "load": [1.0]}, {"at": ["s7"]}, DataError, "at: got 's7'"),
        ({"w": [1.0], "load": [1.0]}, {"effectiv": 3}, ConfigError, "effectiv.*the settings are"),
        ({"w": [1.0], "load": [1.0]}, {"through": "x"}, ConfigError, "surrogate, solver"),
        ({"w": [1.0], "load": [1.0]}, {"through": "solver"}, ConfigError, "exact already"),
    ],
)
def test_messages_say_what_is_wrong(result, data, keywords, error, words):
    with pytest.raises(error, match=words):
        result.predict(data, **keywords)


def test_the_normal_quantiles_are_those_of_the_interval(result, new, predicted):
    for i, row, y in rows(new):
        mean, deviation = ClosedForm(result, row, TIMES).parameters(y)
        half = norm.ppf(0.975) * deviation
        assert np.all(np.abs(predicted["lower"].values[i] - (mean - half)) < 0.3 * deviation)
        assert np.all(np.abs(predicted["upper"].values[i] - (mean + half)) < 0.3 * deviation)


def test_places_are_one_or_several_in_any_form(result, monkeypatch):
    one = table(1, 3)
    asked: list[list[int]] = []
    monkeypatch.setattr("popinv.api.predictions.predict", lambda *of: asked.append([*of[3]]))
    for at in (0.4, "0.4", [0.4], np.array([0.4])):
        result.predict(one, at=at)
    assert asked == [[2]] * 4
    with pytest.raises(ConfigError, match="at: is empty"):
        result.predict(one, at=[])
    with pytest.raises(DataError, match="leave 'known' out"):
        result.predict(one, known={"w": [1.0]})


def test_limits_that_draws_hardly_meet_hold_nevertheless():
    # By importance sampling, the mean of the unseen entry is -1.4; draws without Gibbs have -0.6.
    width, rng = 13, np.random.default_rng(1)
    covariance = 0.8 ** np.abs(np.subtract.outer(np.arange(width), np.arange(width)))
    values = np.full((1, width), 0.0)
    values[0, -1] = np.nan
    entries = _SeenEntries(values, np.full((1, width), -np.inf), np.zeros((1, width)))
    signal = np.full((400, width), 1.5)
    every = np.broadcast_to(covariance, (400, width, width))
    noise = rng.standard_normal((400, width)) @ np.linalg.cholesky(covariance).T
    found = entries.given(signal, noise, every, rng)
    assert (signal + found)[:, :-1].max() <= 1e-12
    wanted = _mean_below(covariance, -1.5)
    error = found[:, -1].std() / 400**0.5
    assert found[:, -1].mean() == pytest.approx(wanted, abs=3 * error + 0.05)


def _mean_below(covariance: np.ndarray, limit: float) -> float:
    """Return the mean of the last entry given that all others are below a limit.

    Each entry is drawn below the limit given those before it (Geweke, Hajivassiliou and Keane).
    """
    rng, count = np.random.default_rng(2), 50_000
    factor = np.linalg.cholesky(covariance)
    e, log_weight = np.zeros((count, len(factor))), np.zeros(count)
    for k in range(len(factor) - 1):
        share = norm.cdf((limit - e[:, :k] @ factor[k, :k]) / factor[k, k])
        log_weight += np.log(share)
        e[:, k] = norm.ppf(share * rng.uniform(size=count))
    weight = np.exp(log_weight - log_weight.max())
    return float((e @ factor[-1] * weight).sum() / weight.sum())
