"""The user's observations in memory, in the forms that the readers of files take.

An array has a row for each system. A table of pandas has one too, or, if a column holds the values,
a row for each observation. A DataArray or Dataset of xarray has a dimension of systems. All become
a table of text or a Dataset (:data:`popinv.observation_files.fit.InMemory`), with times, labels and
units of the observations.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from popinv.errors import DataError
from popinv.observation_files.fit import InMemory
from popinv.observation_files.known_columns import source_columns
from popinv.observation_files.limit_keys import VARIABLES
from popinv.sections.tables import (
    Seen,
    different_times,
    is_number,
    limit_of,
    named_column,
    text_frame,
)
from popinv.sections.units import name_and_unit

_SYSTEM, _TIME = "system", "time"
# Endings that state the form of the observations; the readers recognise a file by its name.
_TABLE, _ARRAY = "data.csv", "data.nc"


@dataclass(frozen=True)
class GivenData:
    """Observations in memory.

    Attributes
    ----------
    given : DataFrame or Dataset
        A table of text, or a Dataset with the systems along the first dimension.
    section : dict
        Keys of the section ``observations`` of a study.
    described : dict
        Keys of ``forward.observations`` that the data state, such as times and units.
    numbered : tuple of float
        The names of the columns of a table with a row for each system, where these are increasing
        numbers: perhaps times.
    """

    given: InMemory
    section: dict[str, Any]
    described: dict[str, Any] = field(default_factory=dict)
    numbered: tuple[float, ...] = ()


def given_data(
    data: Any,
    columns: Mapping[str, Any],
    known_names: Sequence[str] = (),
    known: Mapping[str, Any] | pd.DataFrame | None = None,
    times: Sequence[float] | None = None,
    grid: int | None = None,
) -> GivenData:
    """Return the user's observations in the form that the readers take.

    Parameters
    ----------
    data : array_like, DataFrame, DataArray or Dataset
    columns : mapping
        Keys of the section ``observations`` of a study, such as ``value_column``.
    known_names : sequence of str
        Design, covariates and levels, which are no observations.
    known : mapping of str to array_like, optional
        Design and covariates of the systems of an array.
    times : sequence of float, optional
        The times of the observations.
    grid : int, optional
        Number of equally spaced times to which the times of a long table are rounded.

    Raises
    ------
    DataError
        If the data have no such form.
    """
    given = {key: value for key, value in columns.items() if value is not None}
    given, limits = _limits_apart(given)
    if isinstance(data, pd.DataFrame):
        if known is not None:
            raise DataError("design and covariates of a table are columns of it; leave 'known' out")
        return _of_table(data, given, known_names, times, grid, limits)
    if isinstance(data, pd.Series):
        raise DataError(_shape(f"a Series of {len(data)} values"))
    if taken := sorted(name for name in given if name.endswith(("_column", "_columns"))):
        raise DataError(f"'{taken[0]}' names a column of a DataFrame, but the data have no columns")
    if isinstance(data, xr.DataArray | xr.Dataset):
        return _with_limits(_of_xarray(data, given, known_names, known, times), limits)
    return _with_limits(_of_array(data, given, known, times), limits)


def _limits_apart(given: dict[str, Any]) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return keys without the limits that are arrays with one for each value, and these."""
    limits = {key: given[key] for key in VARIABLES if key in given}
    arrays = {
        key: np.asarray(value, dtype=float)
        for key, value in limits.items()
        if not isinstance(value, Mapping)
    }
    several = {key: values for key, values in arrays.items() if values.ndim > 1}
    rest = {key: value for key, value in given.items() if key not in several}
    return rest | {k: v.tolist() for k, v in arrays.items() if k not in several}, several


def _with_limits(data: GivenData, limits: Mapping[str, np.ndarray]) -> GivenData:
    """Return a Dataset with arrays of limits as variables."""
    dataset, section = data.given, dict(data.section)
    assert isinstance(dataset, xr.Dataset)
    for key, values in limits.items():
        array = dataset["observations"]
        if values.shape != array.shape:
            raise DataError(
                f"'{key}' has the shape {values.shape}, and the observations {array.shape}; give "
                "one limit for each value, one for each observation, or one number"
            )
        dataset, section[key] = dataset.assign({key: (array.dims, values)}), {"column": key}
    return replace(data, given=dataset, section=section)


def _shape(found: str) -> str:
    return (
        f"got {found}, but an array of shape (number of systems, number of observations) is "
        "needed: a row for each system"
    )


def _of_array(
    data: Any,
    section: dict[str, Any],
    known: Mapping[str, Any] | pd.DataFrame | None,
    times: Sequence[float] | None,
) -> GivenData:
    try:
        values = np.asarray(data)
        if values.dtype.kind not in "biuf":
            raise TypeError(f"its entries are of type {values.dtype}")
    except (TypeError, ValueError) as error:
        raise DataError(
            _shape(f"a {type(data).__name__} that is no array of numbers ({error})")
        ) from None
    if values.ndim != 2:
        raise DataError(_shape(f"an array of shape {values.shape}"))
    dataset = xr.Dataset(
        {"observations": ((_SYSTEM, "observation"), values.astype(float))},
        coords={_SYSTEM: np.arange(len(values))},
    )
    described = {"count": values.shape[1]} | _times_of_width(times, values.shape[1])
    return GivenData(_with_known(dataset, known), _section(section, _ARRAY), described)


def _times_of_width(times: Sequence[float] | None, width: int) -> dict[str, Any]:
    """Return the times of ``width`` observations, and the number of entries at each time."""
    if times is None:
        return {}
    listed = [float(t) for t in times]
    if not listed or width % len(listed):
        raise DataError(
            f"there are {width} observations of each system, but {len(listed)} times; observations "
            "are ordered by entry, with all times of the first entry first"
        )
    return {"times": listed, "count": width // len(listed)}


def _with_known(dataset: xr.Dataset, known: Mapping[str, Any] | pd.DataFrame | None) -> xr.Dataset:
    """Return a Dataset with design and covariates, arrays with a value for each system."""
    if known is None:
        return dataset
    count = dataset.sizes[_SYSTEM]
    for name, column in dict(known).items():
        values = np.asarray(column)
        if values.shape != (count,):
            raise DataError(
                f"known['{name}'] has the shape {values.shape}, but there are {count} systems, and "
                "each needs one value"
            )
        dataset = dataset.assign({str(name): (_SYSTEM, values)})
    return dataset


def _section(section: dict[str, Any], file: str) -> dict[str, Any]:
    # Everywhere in the interface, NaN is a value that was not observed.
    return {"file": file, "missing": "mask", **section}


# --- pandas -------------------------------------------------------------------------------------


def _of_table(
    data: pd.DataFrame,
    section: dict[str, Any],
    known_names: Sequence[str],
    times: Sequence[float] | None,
    grid: int | None,
    limits: Mapping[str, np.ndarray],
) -> GivenData:
    if not len(data) or not len(data.columns):
        raise DataError(f"the table has {len(data)} rows and {len(data.columns)} columns")
    # An index with information becomes a column.
    if not isinstance(data.index, pd.RangeIndex) or data.index.name is not None:
        names = ["" if name is None else str(name) for name in data.index.names]
        if names == [""]:
            names = [_SYSTEM]
        if "" in names:
            raise DataError("its index has levels without a name; name them, or reset the index")
        data = data.rename_axis(index=names).reset_index()
        if "value_column" not in section:
            section = {"system_column": names[0], **section}
    frame = text_frame(data)
    for key, values in limits.items():
        if "value_column" in section or len(values) != len(frame):
            raise DataError(
                f"'{key}' has the shape {values.shape}, but the table has {len(frame)} rows; name "
                f"the column that holds the limits: {key}={{'column': ...}}"
            )
        names = [f"{key} {i + 1}" for i in range(values.shape[1])]
        cells = text_frame(pd.DataFrame(values, columns=names))
        frame = frame.assign(**{name: cells[name].to_numpy() for name in names})
        section = {**section, key: {"column": names}}
    if "value_column" in section:
        return _of_long(frame, section, times, grid)
    return _of_wide(frame, section, known_names, times)


def _of_wide(
    frame: pd.DataFrame,
    section: dict[str, Any],
    known_names: Sequence[str],
    times: Sequence[float] | None,
) -> GivenData:
    special = [section.get(f"{name}_column") for name in (_SYSTEM, "noise_scale", "replicate")]
    named = [*(name for name in special if name), *section.get("ignored_columns", ())]
    named += _named_limits(section)
    taken = {named_column(frame, name, "a column of the table") for name in named}
    sources = {_source(list(frame.columns), name) for name in known_names}
    observed = [name for name in frame.columns if name not in taken | sources]
    if "system_column" not in section:
        # The systems keep the number of their row.
        name = _SYSTEM if _SYSTEM not in frame.columns else "row of the table"
        frame = frame.assign(**{name: [str(i) for i in range(len(frame))]})
        section = {"system_column": name, **section}
    width = len(observed)
    described = {"count": width} | _times_of_width(times, width)
    numbers = [float(name) for name in observed if is_number(name)]
    increasing = len(numbers) == width and numbers == sorted(set(numbers))
    return GivenData(
        frame, _section(section, _TABLE), described, tuple(numbers) if increasing else ()
    )


def _named_limits(section: Mapping[str, Any]) -> list[str]:
    """Return the columns or variables that hold limits."""
    named = [section[key]["column"] for key in VARIABLES if isinstance(section.get(key), Mapping)]
    return [name for each in named for name in ([each] if isinstance(each, str) else each)]


def _source(columns: list[str], name: str) -> str | None:
    """Return the column that a design or covariate is read from; None where there is none."""
    try:
        return source_columns(columns, [name])[0]
    except DataError:
        return None  # the reader reports the mistake


def _of_long(
    frame: pd.DataFrame,
    section: dict[str, Any],
    times: Sequence[float] | None,
    grid: int | None,
) -> GivenData:
    section = {"layout": "long", **section}
    value = named_column(frame, section["value_column"], "value_column")
    if any(limit_of(cell) for cell in frame[value].unique()):
        # Cells such as <0.4 or >7 are limits.
        section = {"censoring_column": section["value_column"], **section}
    name, units = name_and_unit(value)
    described: dict[str, Any] = {"name": _identifier(name)}
    if units:
        described["units"] = units
    if label := section.get("label_column"):
        labels = frame[named_column(frame, label, "label_column")]
        described["labels"] = list(dict.fromkeys(cell for cell in labels if cell))
    described["count"] = len(described.get("labels", [None]))
    if time := section.get("time_column"):
        column = named_column(frame, time, "time_column")
        seen = Seen(value, tuple(section.get("missing_values") or ()))
        described["times"] = (
            different_times(frame, column, grid, seen) if times is None else list(times)
        )
        if unit := name_and_unit(column)[1]:
            described["coordinate_units"] = unit
    elif times is not None:
        raise DataError("'times' of a long table need the column that holds them: 'time_column'")
    return GivenData(frame, _section(section, _TABLE), described)


def _identifier(name: str) -> str:
    """Return a name of letters, digits and _."""
    kept = "".join(sign if sign.isascii() and sign.isalnum() else "_" for sign in name)
    return kept if kept and not kept[0].isdigit() else f"_{kept}"


# --- xarray -------------------------------------------------------------------------------------


def _of_xarray(
    data: xr.DataArray | xr.Dataset,
    section: dict[str, Any],
    known_names: Sequence[str],
    known: Mapping[str, Any] | pd.DataFrame | None,
    times: Sequence[float] | None,
) -> GivenData:
    dataset = data.to_dataset(name=data.name or "y") if isinstance(data, xr.DataArray) else data
    dataset = _renamed(dataset)
    taken = {*known_names, *_named_limits(section)}
    named = [str(n) for n, a in dataset.data_vars.items() if a.ndim > 1 and n not in taken]
    if not named:
        raise DataError(
            "the Dataset has no variable of the dimensions (system, ...); its variables are "
            f"{', '.join(f'{n} {a.dims}' for n, a in dataset.data_vars.items()) or 'none'}"
        )
    array = dataset[named[0]] if len(named) == 1 else _stacked(dataset, named)
    rest = [dim for dim in array.dims if dim not in (_SYSTEM, "replicate")]
    array = array.transpose(_SYSTEM, ...)
    described = _described(array, [str(dim) for dim in rest], times)
    kept = {
        str(n): (_SYSTEM, a.values, _units(a))
        for n, a in dataset.variables.items()
        if a.dims == (_SYSTEM,)
    }
    flat = array if array.ndim <= 3 else _flattened(array)
    shown = xr.Dataset({"observations": flat.drop_vars([n for n in flat.coords if n != _SYSTEM])})
    if _TIME in flat.coords:
        shown = shown.assign_coords({_TIME: (_TIME, flat[_TIME].values, _units(flat[_TIME]))})
    shown = shown.assign({n: v for n, v in kept.items() if n != _SYSTEM})
    for name in _named_limits(section):
        if name in dataset and name not in shown:
            own = dataset[name]
            shown[name] = own.drop_vars([n for n in own.coords if n != _SYSTEM])
    if _SYSTEM not in shown.coords:
        shown = shown.assign_coords({_SYSTEM: np.arange(shown.sizes[_SYSTEM])})
    return GivenData(_with_known(shown, known), _section(section, _ARRAY), described)


def _units(array: xr.DataArray | xr.Variable) -> dict[str, str]:
    return {"units": str(array.attrs["units"])} if "units" in array.attrs else {}


def _renamed(dataset: xr.Dataset) -> xr.Dataset:
    """Return a Dataset whose dimensions of systems and times have these names."""
    if "t" in dataset.dims and _TIME not in dataset.dims:
        dataset = dataset.rename({"t": _TIME})
    if _SYSTEM in dataset.dims:
        return dataset
    first = {array.dims[0] for array in dataset.data_vars.values() if array.ndim > 1} - {_TIME}
    if len(first) != 1:
        raise DataError(
            f"the dimensions are {', '.join(map(str, dataset.dims))}, and none is called "
            f"'{_SYSTEM}'; rename the dimension of the systems"
        )
    return dataset.rename({first.pop(): _SYSTEM})


def _stacked(dataset: xr.Dataset, names: Sequence[str]) -> xr.DataArray:
    """Return several quantities of the same dimensions along a dimension ``label``."""
    dims = {dataset[name].dims for name in names}
    if len(dims) > 1 or len(next(iter(dims))) > 2:
        raise DataError(
            f"the Dataset has the variables {', '.join(names)}; they are read together if all have "
            "the dimensions (system, time). Select one, or those with the same dimensions"
        )
    units = {name: str(dataset[name].attrs.get("units", "1")) for name in names}
    same = len(set(units.values())) == 1
    labels = [name if same else f"{name} [{units[name]}]" for name in names]
    parts = [dataset[name].drop_attrs() for name in names]
    array = xr.concat(parts, pd.Index(labels, name="label"), coords="minimal", compat="override")
    return array.rename("y").assign_attrs(units=units[names[0]] if same else "1")


def _flattened(array: xr.DataArray) -> xr.DataArray:
    """Return an array whose places in several dimensions are one after the other."""
    places = [dim for dim in array.dims if dim not in (_SYSTEM, _TIME, "replicate")]
    return array.stack(place=places).reset_index("place").transpose(_SYSTEM, "place", ...)


def _described(
    array: xr.DataArray, rest: Sequence[str], times: Sequence[float] | None
) -> dict[str, Any]:
    described: dict[str, Any] = {"name": _identifier(str(array.name))}
    for key in ("units", "long_name"):
        if key in array.attrs:
            described[key] = str(array.attrs[key])
    places = [dim for dim in rest if dim != _TIME]
    described["count"] = int(np.prod([array.sizes[dim] for dim in places], dtype=int))
    if _TIME in rest:
        described["times"] = list(times) if times is not None else _times(array)
        if len(described["times"]) != array.sizes[_TIME]:
            raise DataError(
                f"there are {len(described['times'])} 'times', but {array.sizes[_TIME]} along the "
                f"dimension '{_TIME}'"
            )
        if units := array.coords[_TIME].attrs.get("units") if _TIME in array.coords else None:
            described["coordinate_units"] = str(units)
    elif times is not None:
        described |= _times_of_width(times, described["count"])
    columns = {}
    for name, coordinate in array.coords.items():
        if not coordinate.ndim or not set(coordinate.dims) <= set(places):
            continue
        one = array.isel({dim: 0 for dim in array.dims if dim not in places})
        flat = coordinate.broadcast_like(one).transpose(*places).values.ravel()
        if flat.dtype.kind in "biuf":
            columns[_identifier(str(name))] = flat.astype(float).tolist()
            if "units" in coordinate.attrs:
                described.setdefault("coordinate_units", str(coordinate.attrs["units"]))
        elif len(places) == 1:
            described["labels"] = [str(label) for label in flat]
    if columns:
        described["coordinates"] = columns
    return described


def _times(array: xr.DataArray) -> list[float]:
    if _TIME not in array.coords:
        raise DataError(f"the dimension '{_TIME}' has no coordinate; give 'times'")
    values = array[_TIME].values
    if values.dtype.kind == "M":
        values = (values - values.min()) / np.timedelta64(1, "D")
    return [float(t) for t in values]
