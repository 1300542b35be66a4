"""Observations as they are stored, and without systems that withdrew."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

from popinv.forward.base import Observations
from popinv.forward.datasets import names_in_file, observation_names
from popinv.population.noise.terms import composed
from popinv.population.noise.unstructured import IsotropicNoise
from popinv.population.observe import noise_scales, observations_dataset, without_systems
from popinv.population.stages.import_observations import observations_of_file
from popinv.population.synthetic import noise_rows
from popinv.seeds import standard_normal_rows
from popinv.store import storage

WHAT = Observations(np.array([[0.2], [0.7]]), ("x",), "head", "m")
Y = np.arange(10.0).reshape(5, 2)


def test_the_last_systems_are_held_out() -> None:
    dataset = observations_dataset(Y, WHAT, heldout=2)
    np.testing.assert_array_equal(dataset["y"], Y[:3])
    np.testing.assert_array_equal(dataset["y_heldout"], Y[3:])
    assert set(dataset.variables) == {"y", "y_heldout", "observation_x"}
    assert dataset["y"].attrs["units"] == "m"


def test_gaps_scales_and_names_survive_the_store(tmp_path) -> None:
    y = Y.copy()
    y[1, 0] = np.nan
    scale, ids = np.linspace(0.5, 1, 5), np.array(["a", "bb", "c", "d", "é"])
    dataset = observations_dataset(y, WHAT, 2, noise_scale=scale, system_ids=ids)
    storage.save(dataset, tmp_path / "o.zarr.zip", config={}, seed=1, created_by="test")
    loaded = storage.load(tmp_path / "o.zarr.zip")
    np.testing.assert_array_equal(loaded["y"], y[:3])
    np.testing.assert_array_equal(loaded["noise_scale"], scale[:3])
    np.testing.assert_array_equal(loaded["noise_scale_heldout"], scale[3:])
    np.testing.assert_array_equal(loaded["system_id"], ids[:3])
    np.testing.assert_array_equal(loaded["system_id_heldout"], ids[3:])


def test_names_of_columns_survive_the_store(tmp_path) -> None:
    names = [f"{0.5 * i}" for i in range(Y.shape[1])]
    dataset = observations_dataset(Y, WHAT, 2, column_names=names)
    storage.save(dataset, tmp_path / "o.zarr.zip", config={}, seed=1, created_by="test")
    loaded = storage.load(tmp_path / "o.zarr.zip")
    assert names_in_file(loaded) == names
    assert observation_names(loaded) == [f"column '{name}'" for name in names]


def test_observations_without_names_are_counted() -> None:
    assert observation_names(observations_dataset(Y, WHAT, 2))[:2] == [
        "observation 1",
        "observation 2",
    ]
    labels = [f"l{i}" for i in range(Y.shape[1])]
    labelled = observations_dataset(Y, replace(WHAT, labels=labels), 2)
    assert names_in_file(labelled) is None
    assert observation_names(labelled)[1] == "observation 2 (l1)"
    words = observations_dataset(Y, WHAT, 2, column_names=[f"p{i}" for i in range(Y.shape[1])])
    assert observation_names(words)[1] == "p1"


def test_the_noise_of_each_system_is_that_of_its_number() -> None:
    noise, clean = composed(IsotropicNoise(2)), np.zeros((5, 2))
    xi = noise_rows(noise, np.zeros(1), 1, "test", clean)
    np.testing.assert_array_equal(xi, standard_normal_rows(1, "test/noise", 0, 5, 2))
    np.testing.assert_array_equal(noise_rows(noise, np.zeros(1), 1, "test", clean[:2]), xi[:2])


def test_noise_scales_are_log_uniform_and_addressed_by_row() -> None:
    scale = noise_scales(0.5, 2.0, seed=1, stage="test", count=4000)
    np.testing.assert_array_equal(noise_scales(0.5, 2.0, 1, "test", 10), scale[:10])
    assert scale.min() >= 0.5
    assert scale.max() <= 2.0
    # log2 of them is uniform on [-1, 1]: standard errors 0.009 and 0.0047, five of each.
    assert np.log2(scale).mean() == pytest.approx(0.0, abs=0.05)
    assert np.mean(np.log2(scale) ** 2) == pytest.approx(1 / 3, abs=0.025)


def observed(count, tested, folds, names=None) -> xr.Dataset:
    y = np.arange(count, dtype=float)[:, None]
    coords = {} if names is None else {"system_id": ("system", names)}
    return xr.Dataset(
        {"y": (("system", "observation"), y), "y_heldout": (("heldout_system", "observation"),
         y[count - tested :])},
        coords=coords,
        attrs={"folds": folds},
    )  # fmt: skip


def test_the_tested_systems_are_the_same_less_those_that_withdraw() -> None:
    # The last three of ten are tested.
    rest, left = without_systems(observed(10, 3, 1), [1, 8])
    assert rest["y"].values.ravel().tolist() == left.tolist() == [0, 2, 3, 4, 5, 6, 7, 9]
    assert rest["y_heldout"].values.ravel().tolist() == [7, 9]
    # All are tested.
    rest, _ = without_systems(observed(5, 5, 5, list("abcde")), ["d"])
    assert rest["y_heldout"].values.ravel().tolist() == [0, 1, 2, 4]
    assert rest["system_id"].values.tolist() == list("abce")


def test_systems_held_out_beside_the_others_stay() -> None:
    rest, _ = without_systems(observed(10, 3, 0), [9])
    assert rest.sizes == {"system": 9, "observation": 1, "heldout_system": 3}


def test_another_file_is_learned_from_whole_and_may_lack_a_sensor(tmp_path) -> None:
    from popinv.config.loading import load

    y = Y.copy()
    y[:, 1] = np.nan
    own, other = tmp_path / "own.csv", tmp_path / "other.csv"
    np.savetxt(own, Y, delimiter=",")
    np.savetxt(other, y, delimiter=",")
    study = load({"studies": {"s": {
        "forward": {"kind": "python", "function": "line:solve",
                    "parameters": ["a"], "observations": {"count": 2}},
        "law": {"kind": "normal", "start": {"a": {"mean": 0.0, "standard_deviation": 1.0}}},
        "observations": {"file": str(own), "missing": "mask"}, "noise": {"kind": "isotropic"},
    }}}).studies["s"]  # fmt: skip
    parts = study.forward, study.law, study.noise, study.observations
    dataset = observations_of_file(*parts, str(other), seed=1)
    # The sensor was seen in the study's own file.
    np.testing.assert_array_equal(dataset["y"], y)
    assert dataset.sizes["heldout_system"] == 0
