"""Fits with inputs over time, against the exact likelihood of a linear model."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from linear_doses import LAW, exact, table

import popinv
from popinv.errors import ConfigError
from popinv.figures.goodness_of_fit import goodness_of_fit

KEYS = {"system_column": "ID", "time_column": "TIME", "value_column": "DV"}
INPUTS = {"time_column": "TIME", "amount_column": "AMT"}


def of_tensors(z, times, inputs):
    given = torch.as_tensor(times)[..., None] >= inputs["time"][:, None]
    return z * torch.where(given, inputs["amount"][:, None], 0.0).sum(2)


def of_arrays(z, times, inputs):
    given = np.asarray(times)[..., None] >= inputs["time"][:, None]
    return z * (given * inputs["amount"][:, None]).sum(2)


def of_one(z, times, inputs):
    assert inputs.dtype.names == ("time", "amount")
    return z[0] * np.array(
        [sum(dose["amount"] for dose in inputs if dose["time"] <= t) for t in times]
    )


def fitted(function, **changes) -> popinv.Result:
    keys = {**KEYS, "inputs": INPUTS, "estimator": "likelihood", **changes}
    return popinv.fit(
        keys.pop("data", table()),
        function,
        law=LAW,
        noise="isotropic",
        tests=False,
        progress=False,
        assessment={"null_resamples": 20},
        descent={"iterations": 20, "model_samples": 200, "directions": 16},
        **keys,
    )


@pytest.mark.full
@pytest.mark.parametrize("function", [of_tensors, of_arrays, of_one])
def test_each_kind_of_function_finds_the_maximum_of_the_exact_likelihood(function):
    result = fitted(function, vectorised=function is not of_one)
    largest, at = exact()
    assert result.metrics["log_likelihood"] == pytest.approx(largest, abs=1e-3)
    summary = result.summary()
    gaps = (summary["estimate"].to_numpy() - at) / summary["standard_error"].to_numpy()
    assert np.abs(gaps).max() < 0.01


@pytest.mark.full
def test_inputs_of_a_table_of_their_own_give_the_same_numbers():
    both = table()
    apart = fitted(
        of_tensors,
        data=both[both.EVID == 0][["ID", "TIME", "DV"]],
        inputs={**INPUTS, "table": both[both.EVID == 1], "system_column": "ID"},
    )
    pd.testing.assert_frame_equal(apart.summary(), fitted(of_tensors).summary())
    loaded = {"observations": apart.observations, "population": apart.population}
    loaded["check"] = apart.artefacts["check"]
    shown = goodness_of_fit(apart.problem, loaded)
    # A bar for each dose of a system, as high as its share of the largest dose.
    panel = shown.fits(np.array([5]))[0]
    bars = panel.marks[0]
    assert bars.x.tolist() == [0.0, 1.5, 3.0, 5.0]
    low, high = panel.y.limits
    doses = table()[table().EVID == 1]
    of_system = doses[doses.ID == 5].AMT.to_numpy()[[0, 0, 0, 1]]
    heights = 0.25 * (high - low) * of_system / doses.AMT.max()
    np.testing.assert_allclose(bars.high - bars.low, heights, rtol=1e-6)
    assert not shown.systems.known


@pytest.mark.full
def test_a_network_learns_from_a_summary_on_which_alone_the_observations_depend():
    # All doses come before the first observation, so that their sum is all that matters.
    early = table().copy()
    early["TIME"] = np.where(early.EVID == 1, 0.05 * early.TIME, early.TIME)
    early["II"] *= 0.05
    keys = {"data": early, "active_learning": {"first_design": 400, "rounds": 1}}
    learned = fitted(of_arrays, inputs={**INPUTS, "summary": ["total"]}, **keys)
    solved = fitted(of_arrays, data=early)
    assert "surrogate" in learned.artefacts
    gaps = (learned.summary()["estimate"] - solved.summary()["estimate"]).to_numpy()
    assert np.abs(gaps / solved.summary()["standard_error"].to_numpy()).max() < 0.1


def test_a_function_that_takes_no_inputs_is_refused():
    with pytest.raises(ConfigError, match=r"no argument 'inputs'.*solve\(z, inputs\)"):
        fitted(lambda z, times: z * times)


def test_keys_that_are_wrong_are_told():
    with pytest.raises(ConfigError, match="name the 'amount_column' of a dosing table"):
        fitted(of_tensors, inputs={"time_column": "TIME", "file": "doses.csv"})
    with pytest.raises(ConfigError, match="there is no column 'dose'"):
        fitted(of_tensors, inputs={"time_column": "TIME", "amount_column": "dose"})
