"""Reading a table of observations: rows are systems, columns are sensors.

CSV files hold numbers only, below an optional line of column names. NetCDF and zarr files hold a
variable of two dimensions (systems, sensors), named ``observations`` where there are several.
Whatever cannot be an observation (text, an empty cell, NaN, infinity) is refused, with its place.
"""

from __future__ import annotations

import csv
import math
import os
import warnings
from pathlib import Path

import numpy as np

from popinv.errors import DataError, nearest

__all__ = ["read_observations"]

_FINITE = "Every observation must be a finite number; leave out the systems that lack one."


def read_observations(path: str | os.PathLike[str]) -> np.ndarray:
    """Read observations from a CSV (.csv), NetCDF (.nc) or zarr (.zarr) file.

    Parameters
    ----------
    path : path
        Relative to the working directory, or absolute.

    Returns
    -------
    ndarray of float64, shape (n, d_y)
        One row per system; all finite.

    Raises
    ------
    DataError
        If the file is missing (with the nearest name that exists), is none of the three types,
        cannot be read, is empty, or holds anything but finite numbers (with row and column).
    """
    file = Path(path)
    if not file.exists():
        raise DataError(f"{path}: there is no such file.{_nearest_file(file)}")
    suffix = file.suffix.lower()
    if suffix == ".csv":
        values = _read_csv(file)
    elif suffix in (".nc", ".zarr"):
        values = _read_dataset(file, suffix)
    else:
        raise DataError(f"{path}: an observation file ends in .csv, .nc or .zarr")
    if values.size == 0:
        raise DataError(f"{path}: holds no observations")
    return values


def _nearest_file(file: Path) -> str:
    folder = file.parent
    if not folder.is_dir():
        return f" There is no folder '{folder}' in '{Path.cwd()}'."
    # Names are compared without their endings too: data.csv for data.nc is a likely slip.
    names = [entry.name for entry in folder.iterdir()]
    same_stem = [name for name in names if Path(name).stem == file.stem]
    hint = nearest(file.name, same_stem or names)
    return hint.replace("'", f"'{folder}/", 1) if hint and str(folder) != "." else hint


# --- CSV ----------------------------------------------------------------------------------------


def _read_csv(file: Path) -> np.ndarray:
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{file}: is not a text file ({error})") from None
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror})") from None
    lines = text.splitlines()
    first = next((i for i, line in enumerate(lines) if line.strip()), 0)
    separator = next((mark for mark in ",;\t" if lines and mark in lines[first]), ",")
    if lines and not any(map(_is_number, _cells(lines[first], separator))):
        first += 1  # a header
    try:
        # The reader written in C, for a table without fault; where there is one, the slower
        # reader below finds its place.
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            values = np.loadtxt(lines[first:], delimiter=separator, ndmin=2, comments=None)
    except (ValueError, UserWarning):
        return _read_cells(file, lines, first, separator)
    return values if np.isfinite(values).all() else _read_cells(file, lines, first, separator)


def _read_cells(file: Path, lines: list[str], first: int, separator: str) -> np.ndarray:
    rows: list[list[float]] = []
    for number, line in enumerate(lines[first:], start=first + 1):
        if not line.strip():
            continue
        cells = _cells(line, separator)
        if rows and len(cells) != len(rows[0]):
            raise DataError(
                f"{file}: line {number} has {len(cells)} columns, but the lines before it have "
                f"{len(rows[0])}"
            )
        for column, cell in enumerate(cells, start=1):
            place = f"{file}: line {number}, column {column}"
            if not cell.strip():
                raise DataError(f"{place} is empty. {_FINITE}")
            if not _is_number(cell):
                raise DataError(f"{place} is '{cell.strip()}', not a number. {_FINITE}")
            if not math.isfinite(float(cell)):
                raise DataError(f"{place} is {cell.strip()}. {_FINITE}")
        rows.append([float(cell) for cell in cells])
    return np.array(rows, dtype=float).reshape(len(rows), -1) if rows else np.empty((0, 0))


def _cells(line: str, separator: str) -> list[str]:
    return next(csv.reader([line.rstrip("\r\n")], delimiter=separator), [])


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


# --- NetCDF and zarr ----------------------------------------------------------------------------


def _read_dataset(file: Path, suffix: str) -> np.ndarray:
    import xarray as xr  # slow to import, and CSV files do not need it

    try:
        if suffix == ".zarr":
            dataset = xr.open_zarr(file, consolidated=False, chunks=None)
        else:
            dataset = xr.open_dataset(file)
        with dataset:
            tables = [name for name, variable in dataset.items() if variable.ndim == 2]
            if "observations" in tables:
                name = "observations"
            elif len(tables) == 1:
                name = str(tables[0])
            else:
                found = ", ".join(map(str, tables)) or "none"
                raise DataError(
                    f"{file}: needs a variable 'observations' of two dimensions (systems, "
                    f"sensors); its variables of two dimensions: {found}"
                )
            values = dataset[name].values
    except DataError:
        raise
    except Exception as error:  # each of the readers behind xarray has errors of its own
        hint = " NetCDF-4 files need the package h5netcdf." if "backends" in str(error) else ""
        raise DataError(
            f"{file}: cannot be read ({type(error).__name__}: {error}).{hint}"
        ) from error
    if values.dtype.kind not in "fiu":
        raise DataError(f"{file}: variable '{name}' holds {values.dtype}, not numbers")
    values = np.asarray(values, dtype=float)
    bad = np.argwhere(~np.isfinite(values))
    if len(bad):
        row, column = bad[0]
        raise DataError(
            f"{file}: row {row + 1}, column {column + 1} of '{name}' is {values[row, column]} "
            f"(the first of {len(bad)} such values). {_FINITE}"
        )
    return values
