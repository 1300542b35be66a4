"""Stores are whole, described, checked against their hash, and refuse another configuration."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from popinv.errors import DataError
from popinv.store import storage
from popinv.store.storage import attributes_of
from popinv.store.variables import variable


def dataset(values: np.ndarray) -> xr.Dataset:
    return xr.Dataset(
        {"y": variable(("row", "column"), values, "values", "m")},
        coords={"column": variable("column", np.arange(values.shape[1]).astype(str), "name")},
    )


def save(values: np.ndarray, path, **config) -> None:
    storage.save(dataset(values), path, config=config, seed=1, created_by="test")


def rewritten(store: Path, change: Callable[[str, bytes], bytes | None]) -> None:
    """Write a store with other entries, as another program would; those that are None are gone."""
    with zipfile.ZipFile(store) as archive:
        entries = {name: change(name, archive.read(name)) for name in archive.namelist()}
    with zipfile.ZipFile(store, "w") as archive:
        for name, data in entries.items():
            if data is not None:
                archive.writestr(name, data)


def test_the_attributes_are_read_without_the_arrays(tmp_path):
    save(np.ones((2, 2)), tmp_path / "x.zarr", key=3)
    assert attributes_of(tmp_path / "x.zarr") == storage.load(tmp_path / "x.zarr").attrs
    for damaged in ("", "no zip file"):
        (tmp_path / "x.zarr").write_text(damaged)
        with pytest.raises(DataError, match=r"x\.zarr: cannot be read .*Delete .*x\.zarr and run"):
            attributes_of(tmp_path / "x.zarr")


def test_xarray_opens_a_store(tmp_path):
    save(np.ones((2, 2)), tmp_path / "x.zarr.zip")
    url = f"zip:///::{tmp_path / 'x.zarr.zip'}"
    assert float(xr.open_zarr(url, consolidated=False)["y"].sum()) == 4.0


def test_the_sign_of_a_nan_or_of_zero_does_not_count(tmp_path):
    # They change on the way through compilers, processors and other programs.
    one, other = np.array([[np.nan, 0.0, 1.0]]), np.array([[-np.nan, -0.0, 1.0]])
    assert one.tobytes() != other.tobytes()
    assert storage.content_sha256(dataset(one.T)) == storage.content_sha256(dataset(other.T))
    assert storage.content_sha256(dataset(one.T)) != storage.content_sha256(dataset(-one.T))


def test_round_trip_keeps_values_names_and_attributes(tmp_path):
    values = np.array([[1.0, np.nan], [np.inf, -0.0], [1e-300, 3.0]])
    save(values, tmp_path / "x.zarr", key=[1, {"a": None}])
    loaded = storage.load(tmp_path / "x.zarr")
    np.testing.assert_array_equal(loaded["y"].values, values)
    assert list(loaded["column"].values) == ["0", "1"]
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


def test_new_numbers_of_the_same_shape_change_the_file(tmp_path):
    save(np.zeros((2, 2)), tmp_path / "x.zarr")
    before = (tmp_path / "x.zarr").read_bytes()
    save(np.ones((2, 2)), tmp_path / "x.zarr")
    assert (tmp_path / "x.zarr").read_bytes() != before


def test_the_same_content_gives_the_same_file(tmp_path):
    save(np.ones((2, 2)), tmp_path / "x.zarr")
    save(np.ones((2, 2)), tmp_path / "z.zarr")
    first, second = ((tmp_path / n).read_bytes() for n in ("x.zarr", "z.zarr"))
    assert first == second


def test_damage_is_detected(tmp_path):
    save(np.random.default_rng(0).standard_normal((50, 2)), tmp_path / "x.zarr")

    def flipped(name: str, data: bytes) -> bytes:
        middle = len(data) // 2
        changed = bytes([data[middle] ^ 1])
        return data[:middle] + changed + data[middle + 1 :] if name.startswith("y/c") else data

    rewritten(tmp_path / "x.zarr", flipped)
    with pytest.raises(DataError, match=r"x\.zarr"):
        storage.load(tmp_path / "x.zarr")


def test_a_missing_chunk_is_detected(tmp_path):
    save(np.ones((50, 2)), tmp_path / "x.zarr")
    rewritten(tmp_path / "x.zarr", lambda name, data: None if name.startswith("y/c") else data)
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

    monkeypatch.setattr(zipfile.ZipFile, "writestr", full)
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
        with zipfile.ZipFile(tmp_path / "x.zarr", "w") as archive:
            archive.writestr("zarr.json", content)
    with pytest.raises(DataError, match=r"x\.zarr"):
        storage.load(tmp_path / "x.zarr")


def test_a_tree_comes_back_and_its_damage_is_seen(tmp_path):
    nodes = {"/one": dataset(np.arange(6.0).reshape(3, 2)), "/two": dataset(np.zeros((2, 2)))}
    tree, path = xr.DataTree.from_dict(nodes), tmp_path / "tree.zarr.zip"
    tree.attrs["told"] = "words"
    storage.save(tree, path, config={"key": 3}, seed=2, created_by="test")
    found = storage.load_tree(path)
    assert found.attrs["told"] == "words"
    assert found.attrs["seed"] == attributes_of(path)["seed"] == 2
    for name, node in nodes.items():
        xr.testing.assert_identical(found[name].to_dataset(), node)
    first = path.read_bytes()
    storage.save(tree, path, config={"key": 3}, seed=2, created_by="test")
    assert path.read_bytes() == first

    def longer(name, data):
        return data.replace(b'"values"', b'"others"') if name == "two/y/zarr.json" else data

    rewritten(path, longer)
    with pytest.raises(DataError, match="does not match its hash"):
        storage.load_tree(path)
