"""Tables of observations in NetCDF and zarr files.

The variable ``observations`` has the dimensions (system, observation) or (system, place, time), and
a dimension ``replicate`` where systems are observed several times. The optional variable
``noise_scale`` has the dimension of the systems. Dimensions called ``system``, ``replicate`` and
``time`` are put into this order; otherwise the order of the file is kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from popinv.errors import DataError
from popinv.observation_files.column_units import stated_units
from popinv.observation_files.table import Account, ObservationTable
from popinv.sections.tables import text_frame
from popinv.sections.text_files import kind_of, rows_dataset, valid_values

if TYPE_CHECKING:
    import xarray as xr


_NAME, _SCALE, _REPLICATE = "observations", "noise_scale", "replicate"
# xarray reads with the first package, which needs the second but does not declare it.
_HDF5 = ("h5netcdf", "h5py")


def read_gridded(file: Path, limits: Mapping[str, Sequence[str]] | None = None) -> ObservationTable:
    """Read a NetCDF (.nc) or zarr (.zarr) file, with the variables of limits by their keys.

    NaN, the file's fill value and what lies outside of the file's valid range are missing.

    Raises
    ------
    DataError
        If the file cannot be read, names a decoder that could run code, has no suitable variable,
        or holds no numbers. The message does not name the file.
    """
    try:
        with rows_dataset(file) as dataset:
            return gridded_table(dataset, limits, first=1)
    except DataError:
        raise
    except Exception as error:  # each of the readers behind xarray has its own errors
        raise DataError(f"cannot be read ({type(error).__name__}: {error}){_lacking()}") from error


def is_long(file: Path) -> bool:
    """Return whether a NetCDF or zarr file is a long table: variables along one dimension alone.

    A file that cannot be read is none.
    """
    if kind_of(file) not in (".nc", ".zarr"):
        return False
    try:
        with rows_dataset(file) as dataset:
            tables = [array for array in dataset.variables.values() if array.ndim]
            return len(tables) > 1 and {array.ndim for array in tables} == {1}
    except Exception:  # each of the readers behind xarray has its own errors
        return False


def _lacking() -> str:
    """Return which packages NetCDF-4 files (which are HDF5) still need, or ""."""
    missing = [name for name in _HDF5 if find_spec(name) is None]
    if not missing:
        return ""
    return f". NetCDF-4 files need {' and '.join(missing)}: python -m pip install 'popinv[netcdf]'"


def gridded_table(
    dataset: xr.Dataset, limits: Mapping[str, Sequence[str]] | None = None, first: int = 0
) -> ObservationTable:
    """Return the observations of a Dataset that has the form of such a file, and their limits.

    Parameters
    ----------
    limits : mapping of str to sequence of str, optional
        The variables of limits, by the keys that name them.
    first : int
        From where messages count: from 1 in a file, where they name the variable, too; from 0 in
        memory.

    Raises
    ------
    DataError
        If it has no suitable variable, or holds no numbers.
    """
    named = {key: names[0] for key, names in (limits or {}).items()}
    array = _observations(dataset, set(named.values()))
    of_limits = {key: _limits(dataset, name, key, array) for key, name in named.items()}
    # The sort is stable: dimensions of other names keep their order.
    places = {"system": 0, _REPLICATE: 1, "time": 3}
    array = array.transpose(*sorted(array.dims, key=lambda dim: places.get(str(dim), 2)))
    replicates = int(array.sizes.get(_REPLICATE, 1))
    noise_scale, ids = _noise_scale(dataset, array.dims[0], len(array)), _system_ids(array)
    values = _numbers(array)
    if _REPLICATE in array.dims:
        array = array.isel({_REPLICATE: 0})
    else:
        values = values[:, None]
    count, within = values.shape[2] if values.ndim == 3 else 0, f" of '{array.name}'" * first
    columns = [f"column {i + first}{within}" for i in range(count)]
    time_count = None
    if values.ndim == 4:
        time_count = values.shape[3]
        columns = [
            f"{array.dims[1]} {place + first}, {array.dims[2]} {time + first}{within}"
            for place in range(values.shape[2])
            for time in range(time_count)
        ]
    return ObservationTable(
        values.reshape(len(values), -1) if values.size else np.empty((0, 0)),
        rows=[f"row {i + first}" for i in range(len(values))],
        columns=columns,
        noise_scale=noise_scale,
        system_ids=ids,
        units=[str(array.attrs.get("units", ""))],
        column_units=stated_units(dataset),
        time_count=time_count,
        replicate_count=replicates,
        limits=of_limits,
        account=Account(int(np.count_nonzero(~np.isnan(values)))),
    )


def _limits(dataset: xr.Dataset, name: str, key: str, array: xr.DataArray) -> np.ndarray:
    """Return a variable of limits in the form of the observations, a row for each system."""
    if name not in dataset or not set(dataset[name].dims) <= set(array.dims):
        raise DataError(
            f"'observations.{key}' names the variable '{name}', which needs the dimensions of the "
            f"observations ({', '.join(map(str, array.dims))}); the variables are "
            f"{', '.join(map(str, dataset.data_vars))}"
        )
    places = {"system": 0, _REPLICATE: 1, "time": 3}
    order = sorted(array.dims, key=lambda dim: places.get(str(dim), 2))
    each = dataset[name].broadcast_like(array).transpose(*order)
    return _numbers(each.rename(name)).reshape(array.sizes[order[0]], -1)


def _observations(dataset: xr.Dataset, limits: set[str]) -> xr.DataArray:
    tables = [
        str(name)
        for name, array in dataset.items()
        if array.ndim - (_REPLICATE in array.dims) in (2, 3) and name not in limits
    ]
    if _NAME in tables:
        return dataset[_NAME]
    if len(tables) == 1:
        return dataset[tables[0]]
    raise DataError(
        f"needs a variable '{_NAME}' of the dimensions (system, observation) or (system, place, "
        f"time); its variables of two or three dimensions: {', '.join(tables) or 'none'}"
    )


def _numbers(array: xr.DataArray) -> np.ndarray:
    if array.dtype.kind not in "fiu":
        raise DataError(f"variable '{array.name}' holds {array.dtype}, not numbers")
    return np.asarray(valid_values(array), dtype=float)


def _noise_scale(dataset: xr.Dataset, systems: object, count: int) -> np.ndarray | None:
    if _SCALE not in dataset:
        return None
    array = dataset[_SCALE]
    if array.ndim != 1 or len(array) != count:
        raise DataError(
            f"variable '{_SCALE}' has the dimensions {dict(array.sizes)}, but it holds one number "
            f"for each of the {count} systems, along '{systems}'"
        )
    return _numbers(array)


def _system_ids(array: xr.DataArray) -> np.ndarray | None:
    systems = array.dims[0]
    if systems not in array.coords:
        return None
    return np.array([str(name) for name in array[systems].values], dtype=np.str_)


def systems_frame(dataset: xr.Dataset) -> pd.DataFrame:
    """Return, as a table of text, the variables and coordinates along the systems alone.

    They are what is known of each system.
    """
    systems = max(dataset.data_vars.values(), key=lambda array: array.ndim).dims[0]
    systems = "system" if "system" in dataset.dims else systems
    columns = {
        str(name): array.values
        for name, array in dataset.variables.items()
        if array.dims == (systems,)
    }
    return text_frame(pd.DataFrame(columns))
