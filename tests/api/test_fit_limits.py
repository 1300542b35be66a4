"""Fits in memory of observations that are censored, below, above and between two values."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from study_sections import function, moments

import popinv
from popinv.api.data import given_data
from popinv.errors import DataError
from popinv.forward.external.observations import SimulatorObservations
from popinv.forward.python.section import PythonFunction
from popinv.observation_files.fit import read_fitting
from popinv.observation_files.limits import VARIABLES
from popinv.observation_files.section import FileObservations
from popinv.population.datatree import constant_data

TIMES = np.linspace(0.75, 4.5, 6)
TRUTH = {"rate_median": np.exp(-0.8), "rate_standard_deviation": 0.3}
TRUTH |= {"level_median": np.exp(1.2), "level_standard_deviation": 0.25}
NOISE = {"noise_standard_deviation": 0.3, "noise_correlation": 0.6}
LAW: dict[str, Any] = {
    "kind": "lognormal",
    "start": moments(rate=(-0.5, 0.5), level=(1.0, 0.5)),
}


def decay(z: torch.Tensor, times: np.ndarray) -> torch.Tensor:
    return z[:, 1:] * torch.exp(-z[:, :1] * torch.as_tensor(times))


def observed(count: int) -> np.ndarray:
    """Return a decay observed through an autoregression."""
    rng = np.random.default_rng(11)
    spread = [[TRUTH[f"{name}_standard_deviation"]] for name in ("rate", "level")]
    medians = [[TRUTH[f"{name}_median"]] for name in ("rate", "level")]
    rate, level = medians * np.exp(np.array(spread) * rng.normal(size=(2, count)))
    covariance = 0.3**2 * 0.6 ** np.abs(np.subtract.outer(np.arange(6), np.arange(6)))
    noise = rng.normal(size=(count, 6)) @ np.linalg.cholesky(covariance).T
    return level[:, None] * np.exp(-rate[:, None] * TIMES) + noise


@pytest.mark.full
def test_the_truth_is_recovered_from_correlated_noise_with_limits():
    y = observed(80)
    limits = {"censored_below": 0.35, "not_below": -0.6, "censored_above": 2.4}
    assert 0.05 < np.mean(y <= 0.35) < 0.5
    assert 0.05 < np.mean(y >= 2.4) < 0.3
    result = popinv.fit(
        np.clip(y, 0.35, 2.4), decay, law=LAW, noise="autoregressive", times=TIMES,
        tests=False, progress=False, **limits,
    )  # fmt: skip
    assert result.metrics["estimator"] == "likelihood"
    table = result.summary()
    apart = {
        name: (table.loc[name, "estimate"] - true) / table.loc[name, "standard_error"]
        for name, true in (TRUTH | NOISE).items()
    }
    assert max(map(abs, apart.values())) < 2, apart
    stated = result.to_datatree(predictive=False)["constant_data"]
    held = {name: set(np.unique(stated[name].values)) for name in VARIABLES}
    assert held == {**{name: {end} for name, end in limits.items()}, "not_above": {np.inf}}
    assert stated["censored_below"].dims == ("system", "time")


def test_limits_of_logarithms_are_told_as_they_were_stated():
    forward = PythonFunction.model_validate(
        function("m:f", "z", observations={"times": [1.0, 2.0], "name": "c", "logarithm": True})
    )
    observations = xr.Dataset(
        {"y": (("system", "observation"), np.zeros((3, 2)))},
        coords={"observation_t": ("observation", [1.0, 2.0], {"units": "h", "axis": "t"})},
    )
    for name, end in zip(VARIABLES, (np.log(0.5), np.inf, -np.inf, np.inf), strict=True):
        observations[name] = ("system", "observation"), np.full((3, 2), end)
    found = constant_data(observations, forward)
    np.testing.assert_allclose(found["censored_below"].values, 0.5)
    np.testing.assert_array_equal(found["not_below"].values, 0.0)


def ends(given: Any) -> dict[str, np.ndarray]:
    return read(given).limits


def read(given: Any) -> Any:
    section = FileObservations.model_validate(given.section)
    described = SimulatorObservations.model_validate({"name": "c", **given.described})
    return read_fitting(section, described.described(), given=given.given)


def test_limits_of_arrays_tables_and_datasets():
    y = observed(5)
    lower = np.where(y > 1, 0.1, np.nan)
    expected = np.where(np.isnan(lower), -np.inf, lower)
    dataset = xr.Dataset({"y": (("system", "place"), y), "lloq": (("system", "place"), lower)})
    for data, limit in (
        (y, lower),
        (y.tolist(), lower.tolist()),
        (pd.DataFrame(y), lower),
        (dataset["y"], lower),
        (dataset, {"column": "lloq"}),
    ):
        given = given_data(data, {"censored_below": limit, "censored_above": [9.0] * 6})
        found = ends(given)
        np.testing.assert_array_equal(found["censored_below"], expected)
        assert (found["censored_above"] == 9).all()
    with pytest.raises(DataError, match=r"shape \(5, 5\), and the observations \(5, 6\)"):
        given_data(y, {"censored_below": lower[:, 1:]})


def test_marked_cells_of_a_long_table_are_limits():
    y = observed(4)
    cells = [f"<{0.5}" if v < 0.5 else f">{2}" if v > 2 else repr(v) for v in y.ravel().tolist()]
    ids = np.repeat(np.arange(4), 6)
    table = pd.DataFrame({"id": ids, "time": np.tile(TIMES, 4), "level [mg/L]": cells})
    columns = {"system_column": "id", "time_column": "time", "value_column": "level"}
    given = given_data(table, columns)
    # The limits are those of all values; a value beyond one is held at it.
    found = ends(given)
    assert (found["censored_below"] == 0.5).all()
    assert (found["censored_above"] == 2.0).all()
    np.testing.assert_allclose(read(given).values, np.clip(y, 0.5, 2.0))
