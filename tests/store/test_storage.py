"""Stores are whole, described, checked against their hash, and refuse another configuration."""

from __future__ import annotations

import json

import numpy as np
import pytest
import xarray as xr

from popinv.errors import DataError
from popinv.store import storage
from popinv.store.variables import variable


def dataset(values: np.ndarray) -> xr.Dataset:
    return xr.Dataset(
        {"y": variable(("row", "column"), values, "values", "m")},
        coords={"column": variable("column", np.array(["a", "b"]), "name")},
    )


def save(values: np.ndarray, path, **config) -> None:
    storage.save(dataset(values), path, config=config, seed=1, created_by="test")


def test_round_trip_keeps_values_names_and_attributes(tmp_path):
    values = np.array([[1.0, np.nan], [np.inf, -0.0], [1e-300, 3.0]])
    save(values, tmp_path / "x.zarr", key=[1, {"a": None}])
    loaded = storage.load(tmp_path / "x.zarr" / "zarr.json")
    np.testing.assert_array_equal(loaded["y"].values, values)
    assert list(loaded["column"].values) == ["a", "b"]
    assert loaded["y"].attrs == {"long_name": "values", "units": "m"}
    assert json.loads(loaded.attrs["config"]) == {"key": [1, {"a": None}]}
    assert {"seed", "package_version", "created_by", "content_sha256"} <= set(loaded.attrs)


@pytest.mark.parametrize("value", [np.nan, -np.nan, 0.0, -0.0, np.inf])
@pytest.mark.parametrize("dtype", ["f8", "f4"])
def test_an_array_of_one_value_keeps_its_bits(tmp_path, value, dtype):
    values = np.full((3, 2), value, dtype)
    save(values, tmp_path / "x.zarr")
    assert storage.load(tmp_path / "x.zarr")["y"].values.tobytes() == values.tobytes()


def test_empty_arrays_survive(tmp_path):
    save(np.empty((0, 2)), tmp_path / "x.zarr")
    assert storage.load(tmp_path / "x.zarr")["y"].shape == (0, 2)


def test_new_numbers_of_the_same_shape_change_the_watched_file(tmp_path):
    save(np.zeros((2, 2)), tmp_path / "x.zarr")
    before = (tmp_path / "x.zarr" / "zarr.json").read_text()
    save(np.ones((2, 2)), tmp_path / "x.zarr")
    assert (tmp_path / "x.zarr" / "zarr.json").read_text() != before


def test_the_same_content_gives_the_same_file(tmp_path):
    save(np.ones((2, 2)), tmp_path / "x.zarr")
    save(np.ones((2, 2)), tmp_path / "z.zarr")
    first, second = ((tmp_path / n / "zarr.json").read_bytes() for n in ("x.zarr", "z.zarr"))
    assert first == second


def test_damage_is_detected(tmp_path):
    save(np.random.default_rng(0).standard_normal((50, 2)), tmp_path / "x.zarr")
    chunk = next(p for p in (tmp_path / "x.zarr" / "y" / "c").rglob("*") if p.is_file())
    data = bytearray(chunk.read_bytes())
    data[len(data) // 2] ^= 1
    chunk.write_bytes(data)
    with pytest.raises(DataError, match=r"x\.zarr"):
        storage.load(tmp_path / "x.zarr")


def test_a_missing_chunk_is_detected(tmp_path):
    save(np.ones((50, 2)), tmp_path / "x.zarr")
    next(p for p in (tmp_path / "x.zarr" / "y" / "c").rglob("*") if p.is_file()).unlink()
    with pytest.raises(DataError, match="hash"):
        storage.load(tmp_path / "x.zarr")


def test_a_store_of_another_configuration_is_refused_naming_the_key(tmp_path):
    save(np.ones((1, 2)), tmp_path / "x.zarr", law={"start": {"length": 0.5}}, count=3)
    with pytest.raises(DataError, match=r"law\.start\.length: stored 0\.5, now 0\.7"):
        storage.load(tmp_path / "x.zarr", config={"law": {"start": {"length": 0.7}}, "count": 3})


def test_a_failed_write_leaves_the_old_store_whole(tmp_path, monkeypatch):
    save(np.ones((1, 2)), tmp_path / "x.zarr")

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(xr.Dataset, "to_zarr", full)
    with pytest.raises(DataError, match=r"x\.zarr: cannot be written \(No space left.*Make room"):
        save(np.zeros((1, 2)), tmp_path / "x.zarr")
    monkeypatch.undo()
    assert storage.load(tmp_path / "x.zarr")["y"].values.sum() == 2
    assert [p.name for p in tmp_path.iterdir()] == ["x.zarr"]


def test_undescribed_variables_are_refused(tmp_path):
    bare = xr.Dataset({"y": ("row", np.ones(2))})
    with pytest.raises(ValueError, match="'y' has no units and no long_name"):
        storage.save(bare, tmp_path / "x.zarr", config={}, seed=1, created_by="test")


@pytest.mark.parametrize("content", [None, "{}", "not json"])
def test_what_popinv_did_not_write_is_refused(tmp_path, content):
    if content is not None:
        (tmp_path / "x.zarr").mkdir()
        (tmp_path / "x.zarr" / "zarr.json").write_text(content)
    with pytest.raises(DataError, match=r"x\.zarr"):
        storage.load(tmp_path / "x.zarr")
