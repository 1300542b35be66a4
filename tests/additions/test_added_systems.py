"""Systems that join a fit: the answer of all systems, and what is refused."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from test_added_through_surrogates import LAW, QUICK
from tiers import parameters

sys.path.insert(0, str(Path(__file__).parents[1] / "api"))

import boys

import popinv
from popinv.errors import DataError
from popinv.inference.answer.result import estimate_of
from popinv.inference.estimators.settings import PolishSettings
from popinv.inference.stages.maximise_likelihoods import maximise_likelihoods

TIMES = np.linspace(-1.0, 1.0, 9)


def parted(first: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    table = boys.table()
    early = table["Subject"].isin(table["Subject"].unique()[:first])
    return table[early], table[~early]


@pytest.fixture(scope="module")
def first() -> popinv.Result:
    return boys.fit(parted(24)[0], tests=False)


def test_the_answer_is_that_of_all_systems(first):
    both = first.add(parted(24)[1], tests=False)
    likelihood = both.artefacts["likelihood"]
    p = np.concatenate([likelihood["alpha"].values, likelihood["gamma"].values])
    errors = np.sqrt(np.diag(likelihood["covariance"].values))
    # The closed form of all 26 boys is rounded to four digits.
    assert np.all(np.abs(p - boys.CLOSED_FORM) < 0.01 * errors)
    assert both.metrics["log_likelihood"] == pytest.approx(-362.984, abs=0.001)
    assert both.observations.sizes["system"] == 26
    assert np.all(both.artefacts["batch"]["p_value"] > 0.05)
    # The first result is what it was.
    assert first.observations.sizes["system"] == 24


@pytest.mark.full
def test_two_additions_are_one(first, tmp_path):
    _, late = parted(24)
    one, two = (late[late["Subject"] == name] for name in late["Subject"].unique())
    both = first.add(one, tests=False).add(two, tests=False)
    assert list(both.observations.attrs["added"]) == [1, 1]
    assert both.metrics["log_likelihood"] == pytest.approx(-362.984, abs=0.001)
    again = popinv.load(both.save(tmp_path / "boys"), boys.line)
    pd.testing.assert_frame_equal(again.summary(), both.summary())


def test_a_loaded_result_takes_a_file(first, tmp_path):
    late = parted(24)[1]
    late = late.assign(age=late["age"].replace(0.7808, 0.7479))
    late.to_csv(tmp_path / "late.csv", index=False)
    loaded = popinv.load(first.save(tmp_path / "boys"), boys.line)
    both = loaded.add(tmp_path / "late.csv", tests=False)
    assert both.observations.sizes["system"] == 26


@pytest.mark.full
def test_systems_of_another_kind_differ(first):
    late = parted(24)[1]
    taller = first.add(late.assign(height=late["height"] + 60), tests=False)
    assert taller.artefacts["batch"]["p_value"].sel(compared="law") < 0.001
    assert "another law" in taller.artefacts["batch"].attrs["statement"]


def straight(count: int, noise: float, intercept: float, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    z = rng.normal([intercept, 6.5], [8.0, 1.6], size=(count, 2))
    return boys.line(torch.from_numpy(z), TIMES).numpy() + noise * rng.normal(size=(count, 9))


def fit_of_lines(data: np.ndarray | pd.DataFrame, **law: object) -> popinv.Result:
    law = {**boys.LAW, "correlations": False, **law}
    keys = {"noise": boys.NOISE, "times": TIMES, "tests": False, "progress": False}
    return popinv.fit(data, boys.line, law=law, **keys)


@pytest.fixture(scope="module")
def lines() -> popinv.Result:
    return fit_of_lines(straight(300, 0.7, 150.0, 1))


@pytest.mark.full
@parameters(
    "noise, intercept, differs",
    [(1.4, 150.0, ["noise"])],
    full=[(0.7, 162.0, ["law"]), (0.7, 150.0, [])],
)
def test_the_part_that_differs_is_named(lines, noise, intercept, differs):
    both = lines.add(straight(12, noise, intercept, 4), tests=False)
    p = both.artefacts["batch"]["p_value"].to_series()
    assert [part for part in ("law", "noise") if p[part] < 0.01] == differs
    assert (p["law and noise"] < 0.01) == bool(differs)


def test_many_systems_are_added_in_one_step(lines):
    added = straight(12, 0.7, 150.0, 4)
    both = lines.add(added, tests=False)
    whole = fit_of_lines(np.concatenate([straight(300, 0.7, 150.0, 1), added]))
    errors = whole.summary()["standard_error"]
    apart = (both.summary()["estimate"] - whole.summary()["estimate"]) / errors
    assert apart.abs().max() < 0.02
    assert both.metrics["log_likelihood"] == pytest.approx(
        whole.metrics["log_likelihood"], abs=0.001
    )


def decay(z: torch.Tensor, times: np.ndarray) -> torch.Tensor:
    return 10 / z[:, 1:] * torch.exp(-z[:, :1] * torch.as_tensor(times))


def decays():
    """Return a fit to 210 systems, and the data of these and of 14 others."""
    rng = np.random.default_rng(5)
    times = np.array([0.25, 0.5, 1.0, 2.0, 4.0])
    z = np.exp(rng.normal([-0.7, 1.0], [0.3, 0.25], size=(214, 2)))
    z = np.concatenate([z, np.exp(rng.normal([-0.7, 1.0], [0.3, 0.25], size=(10, 2)))])
    data = decay(torch.from_numpy(z), times).numpy() + 0.2 * rng.normal(size=(224, 5))
    return popinv.fit(data[:210], decay, law=LAW, times=times, **QUICK), data


@pytest.mark.full
def test_a_few_systems_keep_draws_and_curvature():
    first, data = decays()
    both = first.add(data[210:214])
    given = both.model, PolishSettings(), both.observations, both.simulator
    before = first.artefacts["estimate_0"], both.artefacts["check"]
    _, again = maximise_likelihoods(*given, *before, seed=1)
    found = both.artefacts["likelihood"]
    errors = np.sqrt(np.diag(again["covariance"].values))
    assert np.all(np.abs(estimate_of(found) - estimate_of(again)) < 0.02 * errors)
    assert np.sqrt(np.diag(found["covariance"].values)) == pytest.approx(errors, rel=0.1)
    # The value takes new draws, whose error is known.
    apart = found.attrs["value"] - again.attrs["value"]
    assert abs(apart) < 4 * np.hypot(found.attrs["value_error"], again.attrs["value_error"])
    # The curvature is the last one, so that the answer took few evaluations.
    assert found.attrs["steps"] <= 2
    assert found.attrs["curvature_of"] == 210
    # Many small additions are a large one.
    later = both.add(data[214:])
    assert "curvature_of" not in later.artefacts["likelihood"].attrs


def test_systems_that_are_there_are_recognised_by_their_values(lines):
    with pytest.raises(DataError, match="has exactly the observations of system"):
        lines.add(straight(300, 0.7, 150.0, 1)[[7]])


@parameters("joined", [False], full=[True])
def test_what_is_known_of_systems_in_another_unit_is_refused(joined):
    """What is in the right unit joins the study."""
    rng = np.random.default_rng(7)
    w = rng.normal(2.0, 1.0, 40)
    y = straight(40, 0.7, 150.0, 7) + 3 * w[:, None]
    table = pd.DataFrame(y, columns=[f"s{i} [cm]" for i in range(9)]).assign(**{"w [kg]": w})
    first = fit_of_lines(table[:36], covariates={"intercept": ["w"]})
    grams = table[36:].rename(columns={"w [kg]": "w [g]"})
    words = "'w' is in 'g', but in the study it is in 'kg'. Convert its values to kg"
    if joined:
        both = first.add(table[36:], tests=False)
        assert both.observations["system_id"].values[-4:].tolist() == ["36", "37", "38", "39"]
    with pytest.raises(DataError, match=words):
        first.add(grams)
    with pytest.raises(DataError, match=words):
        first.predict(grams)
    known = {"w": xr.DataArray(w, dims="system", attrs={"units": "kg"})}
    data = xr.Dataset({"y": (("system", "time"), y), **known}, coords={"time": TIMES})
    if joined:
        first.predict(data.isel(system=slice(36, None)), law_and_noise="fixed", effective=20)
    data["w"].attrs["units"] = "g"
    with pytest.raises(DataError, match=words):
        first.predict(data.isel(system=slice(36, None)))


def test_wrong_systems_are_refused(first):
    early, late = parted(24)
    with pytest.raises(DataError, match="'1' is already in the study; leave out"):
        first.add(pd.concat([late, early[early["Subject"] == early["Subject"].iloc[0]]]))
    with pytest.raises(DataError, match="there is no column 'height'"):
        first.add(late.rename(columns={"height": "size"}))
    with pytest.raises(DataError, match="in 'm', but the forward model's 'height' is in 'cm'"):
        first.add(late.rename(columns={"height": "height [m]"}))
    with pytest.raises(DataError, match="the table has 0 rows"):
        first.add(late.iloc[:0])
