"""What `popinv.fit` recovers, against closed forms and known truths."""

from __future__ import annotations

import boys
import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from study_sections import moments
from tiers import parameters

import popinv
from popinv.api.data import given_data
from popinv.api.stages import run_stages, steps
from popinv.api.study import Wanted, study_of
from popinv.errors import ConfigError, DivergenceError, SolverError
from popinv.forward.section import forward_section
from popinv.inference.stages import deconvolve

TIMES = np.array([0.25, 0.5, 1.0, 2.0, 4.0, 8.0])
DECAY_LAW = {
    "kind": "lognormal",
    "start": moments(rate=(-0.5, 0.5), volume=(1.2, 0.4)),
}


def decay(z, times):
    """Return concentrations 10 / volume exp(-rate t), by NumPy."""
    rate, volume = z.T
    return 10 / volume[:, None] * np.exp(-rate[:, None] * times)


def decaying(count: int) -> np.ndarray:
    rng = np.random.default_rng(5)
    z = np.exp(rng.normal([-0.7, 1.0], [0.3, 0.25], size=(count, 2)))
    return decay(z, TIMES) + 0.1 * rng.normal(size=(count, len(TIMES)))


def test_a_torch_function_gives_the_closed_form(boys_result):
    likelihood = boys_result.artefacts["likelihood"]
    p = np.concatenate([likelihood["alpha"].values, likelihood["gamma"].values])
    errors = np.sqrt(np.diag(likelihood["covariance"].values))
    assert np.all(np.abs(p - boys.CLOSED_FORM) < 0.1 * errors)
    assert boys_result.metrics["estimator"] == "likelihood"
    assert boys_result.metrics["log_likelihood"] == pytest.approx(-362.984, abs=0.02)


def test_a_torch_function_needs_no_surrogate(boys_result):
    assert "surrogate" not in boys_result.artefacts
    assert boys_result.metrics["through"] == "solver"
    assert "Surrogate" not in boys_result.check().index
    assert boys_result.metrics["solver_calls"] == 100
    assert "correction" not in boys_result.population


def test_without_tests_the_likelihood_answers_without_the_distance(boys_result, tmp_path):
    without = boys.answer(tests=False)
    same = ["estimate", "standard_error", "lower", "upper"]
    pd.testing.assert_frame_equal(without.summary()[same], boys_result.summary()[same])
    assert without.artefacts["distance"].attrs["reason"] == "it was left out with the tests"
    assert np.isnan(without.population["estimates"].sel(estimator="distance")).all()
    assert "Descent" not in without.check().index
    with pytest.raises(ConfigError, match="has no figure 'descent'"):
        without.plot("descent")
    again = popinv.load(without.save(tmp_path / "boys"))
    pd.testing.assert_frame_equal(again.summary(), without.summary())
    # Where no likelihood answers, the distance does.
    few = boys.table().query("Subject <= 6")
    asked = boys.fit(few, tests=False, estimator="distance", descent={"iterations": 20})
    assert asked.metrics["estimator"] == "distance"
    assert "Descent" in asked.check().index


@pytest.fixture(scope="module")
def decays() -> popinv.Result:
    return popinv.fit(
        decaying(80),
        decay,
        law=DECAY_LAW,
        noise="isotropic",
        parameters=["rate [1/h]", "volume [L]"],
        times=TIMES,
        observations={"name": "conc", "units": "mg/L", "coordinate_units": "h"},
        active_learning={"rounds": 2, "first_design": 200, "solves_per_round": 100},
        surrogate={"width": 16, "depth": 2, "max_epochs": 100},
        assessment={"surrogate_check": 100},
        tests=False,
        progress=False,
    )


def test_a_numpy_function_recovers_its_law_through_a_surrogate(decays):
    table = decays.summary()
    truth = pd.Series(
        {
            "rate_median": np.exp(-0.7),
            "volume_median": np.exp(1.0),
            "rate_standard_deviation": 0.3,
            "volume_standard_deviation": 0.25,
            "noise_standard_deviation": 0.1,
        }
    )
    assert set(table.index) == set(truth.index)
    apart = np.abs(table["estimate"] - truth[table.index]) / table["standard_error"]
    assert apart.max() < 3
    # The intervals are those of an error that the data allow.
    rate = table.loc["rate_median"]
    wanted = rate["estimate"] * 0.3 / np.sqrt(80)
    assert rate["standard_error"] == pytest.approx(wanted, rel=0.2)
    assert rate["units"] == "1/h"
    assert table.loc["rate_standard_deviation", "description"] == "standard deviation of log rate"
    assert decays.metrics["solver_calls"] == 200 + 100 + 100
    assert decays.metrics["surrogate_whitened_rmse"] < 0.3


def test_a_result_through_a_surrogate_has_all_figures_and_is_stored_whole(decays, tmp_path):
    opened = popinv.load(decays.save(tmp_path / "decays"))
    pd.testing.assert_frame_equal(opened.summary(), decays.summary())
    figures = opened.plot()
    assert {"law", "surrogate_error", "solver_calls"} <= set(figures)
    predicted = opened.to_datatree(predictive=True)["posterior_predictive"].to_dataset()["conc"]
    assert predicted.shape == (1, 200, 80, 6)
    assert predicted.attrs["units"] == "mg/L"
    np.testing.assert_array_equal(predicted["time"], TIMES)


@parameters("form", ["wide"], full=["array", "xarray"])
def test_forms_of_the_same_data_give_the_same_answer(form):
    keywords = {"law": boys.LAW, "noise": boys.NOISE, "tests": False, "progress": False}
    table = boys.table().query("Subject > 18").reset_index(drop=True)
    # The table has the boys in the order of their first row; the pivot has sorted them.
    wide = boys.wide().loc[table["Subject"].unique()].dropna(axis=1, how="all")
    array = xr.DataArray(
        wide.to_numpy(),
        dims=("boy", "t"),
        coords={"boy": wide.index.to_numpy(), "t": wide.columns.to_numpy()},
    )
    long = popinv.fit(table, boys.line, **boys.COLUMNS, **keywords)
    given, times = {
        "wide": (wide, {}),
        "array": (wide.to_numpy(), {"times": wide.columns}),
        "xarray": (array, {}),
    }[form]
    other = popinv.fit(given, boys.line, **times, **keywords)
    columns = ["estimate", "standard_error", "lower", "upper"]
    pd.testing.assert_frame_equal(
        other.summary()[columns], long.summary()[columns], check_exact=True
    )
    assert other.metrics["log_likelihood"] == long.metrics["log_likelihood"]


def test_a_function_of_design_and_covariates(quick):
    rng = np.random.default_rng(8)
    count, dose, weight = 30, rng.uniform(1, 3, 30), rng.normal(70, 10, 30)
    height = 2 + 0.05 * (weight - weight.mean()) + 0.3 * rng.normal(size=count)
    data = dose[:, None] * height[:, None] * [1.0, 0.5] + 0.05 * rng.normal(size=(count, 2))

    def solve(z, design):
        return design * z * torch.tensor([1.0, 0.5])

    keywords = {
        "law": {
            "kind": "normal",
            "covariates": {"height": ["weight"]},
            "start": {"height": {"mean": 1.5, "standard_deviation": 0.5}},
        },
        "noise": "isotropic",
        "design": ["dose"],
        **quick,
    }
    result = popinv.fit(data, solve, known={"dose": dose, "weight": weight}, **keywords)
    row = result.summary().loc["height_weight_coefficient"]
    assert abs(row["estimate"] - 0.05) < 3 * row["standard_error"]
    assert row["standard_error"] < 0.01
    assert row["units"] == "per unit of weight"
    # The mean belongs to the mean weight.
    at = f"the mean of height where weight = {weight.mean():.4g}"
    assert f"height_mean is {at}." in str(result)
    assert result.summary().loc["height_mean", "description"] == at.removeprefix("the ")
    frame = pd.DataFrame(data, columns=["early", "late"]).assign(dose=dose, weight=weight)
    again = popinv.fit(frame, solve, **keywords)
    pd.testing.assert_frame_equal(again.summary(), result.summary())
    constant = result.to_datatree()["constant_data"].to_dataset()
    np.testing.assert_allclose(constant["weight"], weight)
    np.testing.assert_array_equal(constant["dose"], dose)


def test_a_forward_model_of_the_package(quick):
    forward = {"kind": "lorenz96", "variables": 8, "spin_up": 1, "window": 4}
    rng = np.random.default_rng(3)
    forcings = np.exp(rng.normal(2.1, 0.1, size=(30, 1)))
    clean = forward_section(forward).model(1).solve(forcings).observations
    data = clean + 0.5 * rng.normal(size=clean.shape)
    result = popinv.fit(
        data,
        forward,
        law={"kind": "lognormal", "start": {"forcing": {"mean": 2.1, "standard_deviation": 0.2}}},
        noise="isotropic",
        active_learning={"rounds": 1, "first_design": 40, "chunk_size": 20},
        surrogate={"width": 16, "depth": 2, "max_epochs": 100},
        polish={"solver_seconds": 0},
        **{**quick, "assessment": {"null_resamples": 20, "surrogate_check": 20, "repeats": 0}},
    )
    assert result.metrics["solver_calls"] == 60
    row = result.summary().loc["forcing_median"]
    # Few solves, of short averages.
    assert abs(np.log(row["estimate"]) - 2.1) < 0.2
    assert row["standard_error"] / row["estimate"] < 0.1


@pytest.mark.full
def test_the_same_seed_gives_the_same_numbers_and_another_others(quick):
    def fitted(seed: int) -> popinv.Result:
        return popinv.fit(
            decaying(12),
            lambda z: torch.exp(-z[:, :1] * torch.as_tensor(TIMES)) * 10 / z[:, 1:],
            law=DECAY_LAW,
            noise="isotropic",
            seed=seed,
            **quick,
        )

    first = fitted(1)
    assert fitted(1).metrics == first.metrics
    assert fitted(2).metrics != first.metrics


def test_functions_that_cannot_be_called_are_told_of():
    def broken(z):
        raise ValueError("no root")

    def for_one(z):
        return [z[0], z[0] + z[1], z[1]]

    data = np.random.default_rng(0).normal(size=(20, 3))
    law = {"kind": "normal", "start": moments(a=(0.0, 1.0), b=(0.0, 1.0))}
    with pytest.raises(SolverError, match=r"(?s)table of shape \(8, 2\).*ValueError: no root"):
        popinv.fit(data, broken, law=law)
    with pytest.raises(SolverError, match=r"works for one system.*'vectorised=False'"):
        popinv.fit(data, for_one, law=law)
    with pytest.raises(SolverError, match=r"returned an array of shape \(8, 2\).*\(8, 3\)"):
        popinv.fit(data, lambda z: 1.0 * z, law=law)
    # A constant array stands beside a tensor.
    for mixed in (
        lambda z: torch.exp(np.ones((1, 3)) * z[:, :1]),
        lambda z: torch.exp(z[:, :1] * np.ones((1, 3))),
    ):
        with pytest.raises(SolverError, match=r"A function of torch turns arrays") as caught:
            popinv.fit(data, mixed, law=law)
        assert "detach" not in str(caught.value)
    with pytest.raises(ConfigError, match="the simulator is a int"):
        popinv.fit(data, 7, law=law)


def test_wrong_derivatives_are_told_of():
    def cut(z):
        return torch.cat([z, (z[:, :1] ** 2).detach()], dim=1)

    data = np.random.default_rng(0).normal(size=(20, 3))
    law = {"kind": "normal", "start": moments(a=(1.0, 1.0), b=(1.0, 1.0))}
    with pytest.raises(SolverError, match=r"derivatives .* computed by torch, without detach"):
        popinv.fit(data, cut, law=law, progress=False)


@pytest.mark.full
@pytest.mark.parametrize(("own", "tests"), [("tensors", True), ("arrays", False)])
def test_the_bar_has_as_many_steps_as_are_told(own, tests, quick):
    def solve(z):
        times = np.array([[0.5, 1.0]])
        return torch.exp(-z * torch.tensor(times)) if own == "tensors" else np.exp(-z * times)

    sections = {name: quick[name] for name in ("descent", "assessment", "estimator")}
    sections["assessment"] = {"null_resamples": 20, "surrogate_check": 20}
    sections["active_learning"] = {"rounds": 2, "first_design": 20, "solves_per_round": 10}
    sections["surrogate"] = {"width": 4, "depth": 1, "max_epochs": 2}
    wanted = Wanted(
        simulator=solve,
        law={"kind": "lognormal", "start": {"a": {"mean": 0.0, "standard_deviation": 0.3}}},
        noise={"kind": "isotropic"},
        parameters=None,
        design=(),
        stochastic=False,
        inputs=None,
        observations={},
        vectorised=True,
        sections=sections,
        seed=1,
    )
    rng = np.random.default_rng(1)
    data = np.exp(-np.exp(rng.normal(0, 0.3, (30, 1))) * [[0.5, 1.0]])
    study, seen = study_of(wanted, given_data(data + 0.05 * rng.normal(size=data.shape), {}))
    told: list[str] = []
    artefacts, answer = run_stages(study, seen, "cpu", told.append, tests)
    assert len(told) == steps(study)
    metrics = answer.metrics()
    assert ("noise_misfit" in metrics) == tests
    assert ("surrogate" in artefacts) == (own == "arrays")
    assert metrics["solver_calls"] == (100 if own == "tensors" else 20 + 10 + 20)


def test_the_likelihood_answers_where_the_distance_diverges(monkeypatch):
    def diverging(*_):
        raise DivergenceError("step 4 of the descent: the loss is not finite")

    monkeypatch.setattr(deconvolve, "fit_distance", diverging)
    result = boys.fit(boys.table(), estimator="distance", tests=False)
    assert result.metrics["estimator"] in ("likelihood", "pseudo_likelihood")
    reason = "it diverged: step 4 of the descent: the loss is not finite"
    assert reason in result.metrics["estimator_reason"]
    assert result.summary()["estimate"]["intercept_mean"] == pytest.approx(149.4, abs=0.1)
