"""The only place that opens or writes zarr.

An artefact is an xarray Dataset in a zarr (format 3) store with the root attributes

``config``
    the part of the configuration that the content depends on, as JSON;
``seed``, ``package_version``, ``created_by``
    how it was made;
``content_sha256``
    a hash of every variable, coordinate and attribute. It lies in the store's ``zarr.json``, the
    one file that the workflow watches, so new numbers in a store of the same shape are seen as a
    change. It is compared with the data on reading, which detects damage.

A store is written beside its final place and renamed when it is complete, so a reader sees all of
it or nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from popinv import __version__
from popinv.errors import DataError
from popinv.store.plain_zarr import refuse_code
from popinv.store.whole_files import written_whole

__all__ = ["content_sha256", "load", "save", "store_of"]

# These attributes describe the writing, not the content: two runs that produce the same numbers
# from the same configuration have the same hash.
_UNHASHED = {"content_sha256", "package_version"}

# Rows along the first axis per zarr chunk: about 8 MB of doubles at 1000 columns.
_ROWS_PER_CHUNK = 1000

_MENDING = (
    "Delete the folder {} and run again. The missing results are computed again, with the same "
    "numbers."
)


def store_of(path: str | os.PathLike[str]) -> Path:
    """Return the store's folder, given the store or the ``zarr.json`` in it."""
    path = Path(path)
    return path.parent if path.name == "zarr.json" else path


def content_sha256(dataset: xr.Dataset) -> str:
    """Return the hash of names, dims, dtypes, values and attributes, whatever their order."""
    digest = hashlib.sha256()
    for name in sorted(str(n) for n in dataset.variables):
        variable = dataset[name].variable
        values = np.ascontiguousarray(variable.values)
        if values.dtype.kind in "OUT":
            data = json.dumps([str(v) for v in values.ravel()]).encode()
            kind = "str"
        else:
            data = values.tobytes()
            kind = values.dtype.newbyteorder("=").str
        head = [name, [str(d) for d in variable.dims], list(values.shape), kind, variable.attrs]
        digest.update(json.dumps(head, sort_keys=True, default=str).encode())
        digest.update(data)
    attrs = {k: v for k, v in dataset.attrs.items() if k not in _UNHASHED}
    digest.update(json.dumps(attrs, sort_keys=True, default=str).encode())
    return digest.hexdigest()


def _check_described(dataset: xr.Dataset) -> None:
    for name, variable in dataset.variables.items():
        missing = [key for key in ("units", "long_name") if key not in variable.attrs]
        if missing:
            raise ValueError(f"variable '{name}' has no {' and no '.join(missing)}")
        if variable.dtype.kind == "O":
            raise ValueError(f"variable '{name}' holds Python objects, not numbers or text")


def _encoding(dataset: xr.Dataset) -> dict[Any, dict[str, Any]]:
    # xarray's default would split the observation axis. Only rows are split here, so that reading
    # some systems reads only their chunks.
    encoding: dict[Any, dict[str, Any]] = {}
    for name, variable in dataset.variables.items():
        if variable.ndim and variable.size:
            rows = min(variable.shape[0], _ROWS_PER_CHUNK)
            encoding[name] = {"chunks": (rows, *variable.shape[1:])}
        if variable.dtype.kind == "f":
            # NaN marks a failed solve and is data. A fill value would hide an absent chunk.
            encoding.setdefault(name, {})["_FillValue"] = None
    return encoding


def save(
    dataset: xr.Dataset,
    path: str | os.PathLike[str],
    *,
    config: Mapping[str, Any],
    seed: int,
    created_by: str,
) -> None:
    """Write a Dataset as a store, completely or not at all.

    Parameters
    ----------
    dataset : xarray.Dataset
        Every variable and coordinate carries ``units`` and ``long_name``.
    path : path
        The store, or the ``zarr.json`` in it.
    config : mapping
        The part of the configuration that the content depends on.
    seed : int
        The study's seed.
    created_by : str
        The rule.

    Raises
    ------
    ValueError
        If a variable has no ``units`` or ``long_name``, or holds Python objects.
    DataError
        If the store cannot be written. The previous store is then still there.
    """
    _check_described(dataset)
    target = store_of(path)
    dataset = dataset.assign_attrs(
        config=json.dumps(config, sort_keys=True),
        seed=int(seed),
        package_version=__version__,
        created_by=created_by,
    )
    dataset.attrs["content_sha256"] = content_sha256(dataset)
    with written_whole(target) as partial, warnings.catch_warnings():
        # zarr warns that variable-length strings are not in the specification yet.
        warnings.filterwarnings("ignore", message=".*does not have a Zarr V3 specification.*")
        dataset.to_zarr(
            partial,
            mode="w",
            zarr_format=3,
            consolidated=False,
            encoding=_encoding(dataset),
            # zarr omits a chunk that equals the fill value and rebuilds it on reading, without the
            # sign of its NaN or zeros. The hash would then differ.
            write_empty_chunks=True,
        )


def load(path: str | os.PathLike[str], *, config: Mapping[str, Any] | None = None) -> xr.Dataset:
    """Read a store into memory and check it against its hash.

    Parameters
    ----------
    path : path
        The store, or the ``zarr.json`` in it.
    config : mapping, optional
        The configuration the reader expects the store to have been written with.

    Raises
    ------
    DataError
        If there is no store, if its metadata names a codec that could run code, if it was not
        written by popinv, if its content does not match its hash, or if it was written with
        another configuration.
    """
    store = store_of(path)
    if not (store / "zarr.json").is_file():
        raise DataError(f"{store}: there is no zarr store here")
    try:
        refuse_code(store)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*does not have a Zarr V3 specification.*")
            # No decoding: 'hours' is a unit here, and numbers stay as they were written.
            dataset = xr.open_zarr(
                store, consolidated=False, mask_and_scale=False, decode_times=False, chunks=None
            )
            dataset.load()
    except Exception as error:
        reason = str(error) if isinstance(error, DataError) else f"{type(error).__name__}: {error}"
        raise DataError(f"{store}: cannot be read ({reason}). {_MENDING.format(store)}") from error
    stored = dataset.attrs.get("content_sha256")
    if stored is None:
        raise DataError(f"{store}: was not written by popinv (no content_sha256 attribute)")
    actual = content_sha256(dataset)
    if actual != stored:
        raise DataError(
            f"{store}: the content does not match its hash (stored {str(stored)[:12]}, found "
            f"{actual[:12]}): the store is damaged. {_MENDING.format(store)}"
        )
    if config is not None:
        _check_config(store, json.loads(dataset.attrs["config"]), config)
    return dataset


def _check_config(store: Path, stored: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    """Raise DataError that names each key in which two configurations differ."""
    before, after = _flat(stored), _flat(json.loads(json.dumps(expected)))
    differing = [k for k in sorted(before.keys() | after.keys()) if before.get(k) != after.get(k)]
    if differing:
        lines = [f"  {k}: stored {before.get(k)!r}, now {after.get(k)!r}" for k in differing[:5]]
        raise DataError(
            f"{store}: was written with another configuration:\n"
            + "\n".join(lines)
            + "\nDelete the store, or give the study another name."
        )


def _flat(mapping: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in mapping.items():
        name = f"{prefix}.{key}" if prefix else str(key)
        if isinstance(value, Mapping):
            flat.update(_flat(value, name))
        else:
            flat[name] = value
    return flat
