"""Rows of a table are read from its store, block by block, and are those of the whole table."""

from __future__ import annotations

import zipfile

import numpy as np
import pytest
import xarray as xr
from test_storage import rewritten

from popinv import workers
from popinv.errors import DataError
from popinv.store import rows as stored_rows
from popinv.store import storage
from popinv.store.rows import StoredRows, column_deviations, in_memory, row_blocks, rows_of
from popinv.store.variables import variable
from popinv.workers import blocks_of, parallel, processes

# It is no multiple of the rows of a chunk.
COUNT = 2345


@pytest.fixture
def table(tmp_path):
    values = np.random.default_rng(0).standard_normal((COUNT, 3)) + 100
    dataset = xr.Dataset(
        {
            "y": variable(("system", "entry"), values, "values"),
            "z": variable("system", np.arange(COUNT), "numbers"),
        }
    )
    storage.save(dataset, tmp_path / "x.zarr.zip", config={}, seed=1, created_by="test")
    return values, tmp_path / "x.zarr.zip"


def test_only_large_ones_of_the_named_variables_stay_in_the_store(table):
    _, path = table
    for stored, least, stays in ((["y"], 1, True), (["y"], 10**6, False), ((), 1, False)):
        loaded = storage.load(path, stored=stored, stays_from=least)
        assert in_memory(loaded["y"].variable) != stays
        assert in_memory(loaded["z"].variable)


def test_rows_are_those_of_the_table_in_any_order(table):
    values, path = table
    rows = rows_of(storage.load(path, stored=["y"], stays_from=1)["y"].variable)
    assert isinstance(rows, StoredRows)
    assert (len(rows), rows.shape, rows.size) == (COUNT, (COUNT, 3), 3 * COUNT)
    rng = np.random.default_rng(1)
    for chosen in (
        slice(990, 1010),
        np.arange(995, 2005),
        np.array([2000, 5, 5, 1999, 0]),
        np.sort(rng.choice(COUNT, 50, replace=False)),
        rng.integers(COUNT, size=200),
        np.zeros(0, dtype=int),
        np.arange(COUNT) % 7 == 0,
    ):
        np.testing.assert_array_equal(rows[chosen], values[chosen])
    np.testing.assert_array_equal(np.asarray(rows), values)
    # Reading leaves nothing in memory.
    assert isinstance(rows_of(rows._variable), StoredRows)


def test_gaps_are_filled_on_reading(tmp_path):
    values = np.array([[1.0, np.nan], [np.nan, 4.0]])
    table = variable(("system", "entry"), values, "values")
    storage.save(xr.Dataset({"y": table}), tmp_path / "x", config={}, seed=1, created_by="test")
    stored = storage.load(tmp_path / "x", stored=["y"], stays_from=1)["y"].variable
    fill = np.array([10.0, 20.0])
    for each in (stored, table):
        rows = rows_of(each, fill)
        np.testing.assert_array_equal(rows[:1], [[1.0, 20.0]])
        np.testing.assert_array_equal(np.asarray(rows), [[1.0, 20.0], [10.0, 4.0]])


def test_blocks_cover_all_rows_once(table, monkeypatch):
    values, path = table
    monkeypatch.setattr(stored_rows, "_BLOCK_VALUES", 3 * 700)
    rows = rows_of(storage.load(path, stored=["y"], stays_from=1)["y"].variable)
    blocks = list(row_blocks(rows))
    assert [block.stop - block.start for block, _ in blocks] == [700, 700, 700, 245]
    np.testing.assert_array_equal(np.concatenate([part for _, part in blocks]), values)
    np.testing.assert_allclose(column_deviations(rows), values.std(axis=0), rtol=1e-12)


def test_a_table_that_stays_is_checked_against_its_hash(table):
    _, path = table

    def damage(name: str, data: bytes) -> bytes:
        # The chunk of other rows, which is as long.
        return other if name == "y/c/0/0" else data

    with zipfile.ZipFile(path) as archive:
        other = archive.read("y/c/1/0")
    rewritten(path, damage)
    with pytest.raises(DataError, match="does not match its hash"):
        storage.load(path, stored=["y"], stays_from=1)


@pytest.mark.parametrize("block", [3, 2**21])
def test_the_hash_does_not_depend_on_the_blocks(table, monkeypatch, block):
    _, path = table
    monkeypatch.setattr(storage, "_BLOCK_VALUES", block)
    loaded = storage.load(path)
    assert storage.content_sha256(loaded) == loaded.attrs["content_sha256"]


@pytest.mark.full
def test_processes_do_not_disturb_each_other_s_reading(tmp_path, monkeypatch):
    monkeypatch.setattr(workers, "_LEAST_SECONDS", 0.0)
    # Of noise, so that a chunk takes its time.
    values = np.random.default_rng(0).standard_normal((40_000, 60))
    dataset = xr.Dataset({"y": variable(("system", "entry"), values, "values")})
    storage.save(dataset, tmp_path / "x.zarr.zip", config={}, seed=1, created_by="test")
    rows = rows_of(storage.load(tmp_path / "x.zarr.zip", stored=["y"], stays_from=1)["y"].variable)

    def right(block):
        return bool(np.array_equal(rows[block], values[block]))

    with processes(4):
        for _ in range(3):
            assert all(parallel(right, blocks_of(len(values), 500), "rows"))
