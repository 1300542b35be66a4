"""The only place that opens or writes zarr.

An artefact is an xarray Dataset in a zarr (format 3) store, which is one zip file, so that whatever
carries files carries the whole artefact. A DataTree is stored in the same way, a group for each of
its nodes. An artefact has the root attributes

``config``
    the part of the configuration that the content depends on, as JSON;
``seed``, ``package_version``, ``created_by``
    how it was made;
``content_sha256``
    a hash of every variable, coordinate and attribute. It is compared with the data on reading,
    which detects damage.

Equal content gives equal files, byte for byte: entries are sorted, and have no date. A store is
written beside its final place and renamed when it is complete, so a reader sees all of it or
nothing. xarray opens it by ``xarray.open_zarr("zip:///::population.zarr.zip")``.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import warnings
import weakref
import zipfile
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, cast

import numpy as np
import xarray as xr

from popinv import __version__
from popinv.errors import DataError
from popinv.regular_files import check_regular
from popinv.store import STAYS_FROM
from popinv.store.plain_zarr import refuse_code, refuse_expansion
from popinv.store.whole_files import written_whole

MENDING = "Delete {} and run again. The missing results are computed again, with the same numbers."
"""What to do about a damaged store, whose path is filled in."""


def attributes_of(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the root attributes of a store.

    Raises
    ------
    DataError
        If there is no store, or if it cannot be read.
    """
    try:
        check_regular(path)
        with zipfile.ZipFile(path) as archive:
            found: dict[str, Any] = json.loads(archive.read("zarr.json"))["attributes"]
            return found
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: cannot be read ({error}). {MENDING.format(path)}") from None


# These attributes describe the writing, not the content: two runs that produce the same numbers
# from the same configuration have the same hash.
_UNHASHED = {"content_sha256", "package_version"}

# Rows along the first axis per zarr chunk: about 8 MB of doubles at 1000 columns.
_ROWS_PER_CHUNK = 1000

# Entries of the part of a variable that is hashed at a time.
_BLOCK_VALUES = 2**21


def content_sha256(artefact: xr.Dataset | xr.DataTree) -> str:
    """Return the hash of names, dims, dtypes, values and attributes, whatever their order.

    The hash of a tree is of the hashes of its nodes.
    """
    if isinstance(artefact, xr.DataTree):
        nodes = {node.path: content_sha256(node.to_dataset()) for node in artefact.subtree}
        return hashlib.sha256(json.dumps(nodes, sort_keys=True).encode()).hexdigest()
    dataset, digest = artefact, hashlib.sha256()
    for name in sorted(str(n) for n in dataset.variables):
        variable = dataset[name].variable
        text = variable.dtype.kind in "OUT"
        kind = "str" if text else variable.dtype.newbyteorder("=").str
        head = [name, [str(d) for d in variable.dims], list(variable.shape), kind, variable.attrs]
        digest.update(json.dumps(head, sort_keys=True, default=str).encode())
        if text:
            digest.update(json.dumps([str(v) for v in variable.values.ravel()]).encode())
            continue
        for values in _parts(variable):
            digest.update(_canonical(np.ascontiguousarray(values)).tobytes())
    attrs = {k: v for k, v in dataset.attrs.items() if k not in _UNHASHED}
    digest.update(json.dumps(attrs, sort_keys=True, default=str).encode())
    return digest.hexdigest()


def _parts(variable: xr.Variable) -> Iterator[np.ndarray]:
    """Yield the values of a variable in blocks of rows, so that no copy of the whole is made."""
    if not variable.ndim:
        yield variable.values
        return
    size = _ROWS_PER_CHUNK * max(1, _BLOCK_VALUES // max(1, _ROWS_PER_CHUNK * _width(variable)))
    for start in range(0, variable.shape[0], size):
        yield variable[start : start + size].values


def _width(variable: xr.Variable) -> int:
    return math.prod(variable.shape[1:])


def _canonical(values: np.ndarray) -> np.ndarray:
    """Return floating-point numbers with one form of NaN and of zero, whose signs mean nothing.

    Zarr, compilers and processors may change these signs.
    """
    if values.dtype.kind not in "fc":
        return values
    same = values + 0  # -0.0 + 0 is 0.0
    missing = np.isnan(same)
    if missing.any():
        same[missing] = np.nan
    return same


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
    artefact: xr.Dataset | xr.DataTree,
    path: str | os.PathLike[str],
    *,
    config: Mapping[str, Any],
    seed: int,
    created_by: str,
) -> None:
    """Write a Dataset or a DataTree as a store, completely or not at all.

    Parameters
    ----------
    artefact : xarray.Dataset or xarray.DataTree
        Every variable and coordinate carries ``units`` and ``long_name``.
    path : path
        The store.
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
    if isinstance(artefact, xr.DataTree):
        nodes = {node.path: node.to_dataset() for node in artefact.subtree}
        encoding: Any = {group: _encoding(dataset) for group, dataset in nodes.items()}
    else:
        nodes, encoding = {"/": artefact}, _encoding(artefact)
    for dataset in nodes.values():
        _check_described(dataset)
    artefact = artefact.copy()
    artefact.attrs |= {
        "config": json.dumps(config, sort_keys=True),
        "seed": int(seed),
        "package_version": __version__,
        "created_by": created_by,
    }
    artefact.attrs["content_sha256"] = content_sha256(artefact)
    from zarr.storage import MemoryStore  # a fit in memory does without its import

    entries: dict[str, Any] = {}
    with warnings.catch_warnings():
        # zarr warns that variable-length strings are not in the specification yet.
        warnings.filterwarnings("ignore", message=".*does not have a Zarr V3 specification.*")
        artefact.to_zarr(
            MemoryStore(entries),
            mode="w",
            zarr_format=3,
            consolidated=False,
            encoding=encoding,
            # zarr omits a chunk that equals the fill value and rebuilds it on reading, without the
            # sign of its NaN or zeros. The hash would then differ.
            write_empty_chunks=True,
        )
    with written_whole(path) as partial, zipfile.ZipFile(partial, "w") as archive:
        for name in sorted(entries):
            # Chunks are compressed already. An entry without a date is one of 1980.
            archive.writestr(zipfile.ZipInfo(name), entries.pop(name).to_bytes())


def load(
    path: str | os.PathLike[str],
    *,
    config: Mapping[str, Any] | None = None,
    stored: Collection[str] = (),
    stays_from: int = STAYS_FROM,
) -> xr.Dataset:
    """Read a store into memory and check it against its hash.

    Parameters
    ----------
    path : path
        The store.
    config : mapping, optional
        The configuration the reader expects the store to have been written with.
    stored : collection of str
        Variables that stay in the store if they are large. They are checked in blocks of rows, and
        each access reads them again; see :mod:`popinv.store.rows`.
    stays_from : int
        Number of entries from which a variable is large.

    Raises
    ------
    DataError
        If there is no store, if its metadata names a codec that could run code, if it was not
        written by popinv, if its content does not match its hash, or if it was written with
        another configuration.
    """
    dataset: xr.Dataset = _checked(Path(path), lambda store: _opened(store, stored, stays_from))
    if config is not None:
        _check_config(Path(path), json.loads(dataset.attrs["config"]), config)
    return dataset


def load_tree(path: str | os.PathLike[str]) -> xr.DataTree:
    """Read the store of a DataTree into memory and check it against its hash.

    Raises
    ------
    DataError
        As :func:`load` does.
    """
    tree: xr.DataTree = _checked(Path(path), _opened_tree)
    return tree


def _checked(store: Path, opened: Callable[[Path], Any]) -> Any:
    """Return what a function reads of a store, after the checks of :func:`load`."""
    if not store.is_file():
        raise DataError(f"{store}: there is no zarr store here")
    try:
        refuse_code(store)
        refuse_expansion(store)
        artefact = opened(store)
        actual = content_sha256(artefact)
    except Exception as error:
        reason = str(error) if isinstance(error, DataError) else f"{type(error).__name__}: {error}"
        raise DataError(f"{store}: cannot be read ({reason}). {MENDING.format(store)}") from error
    written = artefact.attrs.get("content_sha256")
    if written is None:
        raise DataError(f"{store}: was not written by popinv (no content_sha256 attribute)")
    if actual != written:
        raise DataError(
            f"{store}: the content does not match its hash (stored {str(written)[:12]}, found "
            f"{actual[:12]}): the store is damaged. {MENDING.format(store)}"
        )
    return artefact


# No decoding: 'hours' is a unit here, and numbers stay as they were written.
_AS_WRITTEN: dict[str, Any] = {
    "engine": "zarr",
    "consolidated": False,
    "mask_and_scale": False,
    "decode_times": False,
    "chunks": None,
}


def _opened_tree(store: Path) -> xr.DataTree:
    """Return the tree of a store, in memory."""
    from zarr.storage import ZipStore

    with ZipStore(store, mode="r") as archive, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*does not have a Zarr V3 specification.*")
        # A zip file has no folders of its own.
        warnings.filterwarnings("ignore", message=".*not recognized as a component of a Zarr.*")
        return xr.open_datatree(
            cast(Any, archive),
            **_AS_WRITTEN,
        ).load()


def _opened(store: Path, stored: Collection[str], stays_from: int) -> xr.Dataset:
    """Return the Dataset of a store, in memory but for large ones of some variables."""
    from zarr.storage import ZipStore

    with ExitStack() as closing, warnings.catch_warnings():
        archive = closing.enter_context(ZipStore(store, mode="r"))
        warnings.filterwarnings("ignore", message=".*does not have a Zarr V3 specification.*")
        dataset = xr.open_dataset(
            cast(Any, archive),
            **_AS_WRITTEN,
            cache=False,
        )
        stay = [n for n in stored if n in dataset and dataset[n].size >= stays_from]
        for name, each in dataset.variables.items():
            if name not in stay:
                each.load()
        if stay:
            # The store stays open as long as it is read.
            closing.pop_all()
            _kept_open.append(weakref.ref(archive))
    return dataset


# The stores that stay open.
_kept_open: list[weakref.ref[Any]] = []


def _open_again() -> None:
    """Open in a fork what stays open: forks would move each other's place in a shared file."""
    for archive in filter(None, (each() for each in _kept_open)):
        archive.__setstate__(archive.__getstate__())


os.register_at_fork(after_in_child=_open_again)


def _check_config(store: Path, stored: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    """Raise DataError that names each key in which two configurations differ."""
    if differing := config_differences(stored, expected):
        raise DataError(
            f"{store}: was written with another configuration:\n"
            + "\n".join(f"  {line}" for line in differing)
            + "\nDelete the store, or give the study another name."
        )


def config_differences(
    stored: Mapping[str, Any], expected: Mapping[str, Any], most: int = 5
) -> list[str]:
    """Return the first keys in which two configurations differ, with both values."""
    before, after = _flat(stored), _flat(json.loads(json.dumps(expected)))
    differing = [k for k in sorted(before.keys() | after.keys()) if before.get(k) != after.get(k)]
    return [f"{k}: stored {before.get(k)!r}, now {after.get(k)!r}" for k in differing[:most]]


def _flat(mapping: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in mapping.items():
        name = f"{prefix}.{key}" if prefix else str(key)
        if isinstance(value, Mapping):
            flat.update(_flat(value, name))
        else:
            flat[name] = value
    return flat
