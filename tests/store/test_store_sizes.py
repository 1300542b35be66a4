"""A small file that holds very large arrays is refused before any of them is made."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from popinv.errors import DataError
from popinv.sections.text_files import rows_dataset
from popinv.store import plain_zarr, storage
from popinv.store.plain_zarr import refuse_expansion
from popinv.store.variables import variable

ROOT = Path(__file__).parents[2]


def stored(folder: Path) -> Path:
    """Return a store of popinv."""
    values = np.random.default_rng(0).standard_normal((30, 4))
    dataset = xr.Dataset({"y": variable(("system", "observation"), values, "observations")})
    storage.save(dataset, folder / "y.zarr.zip", config={}, seed=1, created_by="test")
    return folder / "y.zarr.zip"


def enlarged(store: Path, **changed: Any) -> Path:
    """Change the metadata of the array in a store."""
    with zipfile.ZipFile(store) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    node = json.loads(entries["y/zarr.json"])
    entries["y/zarr.json"] = json.dumps(node | changed).encode()
    with zipfile.ZipFile(store, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return store


def sizes(rng: random.Random) -> dict[str, Any]:
    """Return metadata of an array of more than 2 GB."""
    large = [round(10 ** rng.uniform(9, 18)), rng.choice([1, 4])]
    if rng.random() < 0.3:
        return {"chunk_grid": {"name": "regular", "configuration": {"chunk_shape": large}}}
    return {"shape": large, "data_type": rng.choice(["float64", "int32", "int16", "string"])}


def test_arrays_out_of_proportion_are_refused(tmp_path):
    rng = random.Random(1)
    for _ in range(30):
        store = enlarged(stored(tmp_path), **sizes(rng))
        size = store.stat().st_size
        told = r"y.zarr.zip: cannot be read \(its arrays would take [\d,]+ bytes, and the files "
        with pytest.raises(DataError, match=told + f"have {size:,}; at most 1,073,741,824 are"):
            storage.load(store)


@pytest.mark.parametrize(
    "changed",
    [{"shape": "large"}, {"shape": [None, 1]}, {"shape": 5}, {"chunk_grid": []}, {"shape": [[]]}],
)
def test_metadata_that_describes_no_array_is_refused(tmp_path, changed):
    with pytest.raises(DataError, match=r"y/zarr\.json does not describe an array"):
        storage.load(enlarged(stored(tmp_path), **changed))


def test_entries_that_unpack_to_too_much_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(plain_zarr, "_FREE_BYTES", 2**16)
    monkeypatch.setattr(plain_zarr, "_MOST_EXPANSION", 100)
    monkeypatch.setattr(plain_zarr, "_MOST_METADATA", 2**20)
    store = stored(tmp_path)
    storage.load(store)
    with zipfile.ZipFile(store, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("y/c/9/9", bytes(2**23))
    with pytest.raises(DataError, match="its arrays would take 8,3"):
        storage.load(store)
    with zipfile.ZipFile(store, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zarr.json", " " * (2**20 + 1))
    with pytest.raises(DataError, match=r"zarr\.json has more than 1,048,576 bytes"):
        storage.load(store)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_observations_in_a_folder_are_measured_too(tmp_path, zarr_format):
    file = tmp_path / "y.zarr"
    dataset = xr.Dataset({"y": ("system", np.zeros(100))})
    dataset.to_zarr(file, zarr_format=zarr_format, consolidated=False)
    assert rows_dataset(file).sizes == {"system": 100}
    metadata = file / ("y/zarr.json" if zarr_format == 3 else "y/.zarray")
    metadata.write_text(json.dumps(json.loads(metadata.read_text()) | {"shape": [10**12]}))
    with pytest.raises(DataError, match="its arrays would take 8,000,000,000,000 bytes"):
        rows_dataset(file)


def test_what_compresses_well_is_read_up_to_its_share(tmp_path):
    # A thousand times the size of its file, from a gigabyte on.
    folder = tmp_path / "y.zarr"
    folder.mkdir()
    (folder / "c").write_bytes(os.urandom(2 * 2**20))
    shape = [1000 * 2**18]
    (folder / "zarr.json").write_text(json.dumps({"shape": shape, "data_type": "float64"}))
    refuse_expansion(folder)
    (folder / "zarr.json").write_text(json.dumps({"shape": [2 * shape[0]], "data_type": "float64"}))
    with pytest.raises(DataError, match="its arrays would take"):
        refuse_expansion(folder)


def test_a_store_is_refused_in_little_memory(tmp_path):
    # Zeros, which take a megabyte and unpack to more than the process may have.
    store = enlarged(stored(tmp_path), shape=[10**10, 4])
    code = (
        "import resource, sys, psutil\n"
        "from popinv.store import storage\n"
        "from popinv.errors import DataError\n"
        "most = psutil.Process().memory_info().vms + 2**28\n"
        "resource.setrlimit(resource.RLIMIT_AS, (most, most))\n"
        "try:\n"
        "    storage.load(sys.argv[1])\n"
        "except DataError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(store)],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
    )
    assert "its arrays would take 320,000,000,000 bytes" in done.stdout, done.stderr
