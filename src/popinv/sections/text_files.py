"""Tables in files of several formats, as the lines of text of a CSV file.

A CSV file may be compressed (``.csv.gz``, ``.csv.bz2``, ``.csv.xz``). A Parquet file, and a NetCDF
or zarr file whose variables have one dimension, are read as the CSV file of the same cells. Numbers
with a decimal comma, as spreadsheets of many countries write them beside semicolons, get a decimal
point.
"""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import lzma
import re
from collections.abc import Iterable
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

import numpy as np

from popinv.errors import DataError

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["cell_text", "decimal_commas", "kind_of", "read_lines", "rows_dataset", "separator_of"]

_COMPRESSED = {".gz": gzip.decompress, ".bz2": bz2.decompress, ".xz": lzma.decompress}
_DECIMAL_COMMA = re.compile(r"\s*[+-]?\d*,\d+([eE][+-]?\d+)?\s*")
_DECIMAL_POINT = re.compile(r"\s*[+-]?(\d+\.\d*|\.\d+)([eE][+-]?\d+)?\s*")


def kind_of(file: str | PurePath) -> str:
    """Return the ending that tells a file's format, in lower case and without compression.

    Examples
    --------
    >>> kind_of("data/y.CSV"), kind_of("y.csv.gz"), kind_of("y.zarr"), kind_of("y.gz")
    ('.csv', '.csv', '.zarr', '.gz')
    """
    path = PurePath(file)
    inner = PurePath(path.stem).suffix.lower()
    if path.suffix.lower() in _COMPRESSED and inner == ".csv":
        return inner
    return path.suffix.lower()


def read_lines(file: Path) -> list[str]:
    """Return the lines of a table as a CSV file has them.

    Raises
    ------
    DataError
        If it is no text in UTF-8, or cannot be read. The message does not name the file.
    """
    kind = kind_of(file)
    try:
        if kind == ".parquet":
            return _of_parquet(file)
        if kind in (".nc", ".zarr"):
            return _of_dataset(file)
        content = file.read_bytes()
        if file.suffix.lower() in _COMPRESSED:
            content = _COMPRESSED[file.suffix.lower()](content)
        lines = content.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"is not a text file in UTF-8: byte 0x{error.object[error.start]:02x} in line {line}. "
            "Save it as UTF-8 (spreadsheets call that 'CSV UTF-8')."
        ) from None
    except (EOFError, lzma.LZMAError) as error:
        raise DataError(f"cannot be uncompressed ({error})") from None
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror or error})") from None
    return _with_decimal_points(lines) if decimal_commas(lines) else lines


def separator_of(first: str) -> str:
    """Return the mark between the cells of a file, by its first line.

    A comma beside semicolons or tabs belongs to a name or is a decimal comma.
    """
    return next((mark for mark in ";\t" if mark in first), ",")


def decimal_commas(lines: list[str]) -> bool:
    """Return whether numbers of a table have a decimal comma.

    It is so if semicolons or tabs separate the cells, some cell is a number with one comma, and
    none is a number with a decimal point.

    Examples
    --------
    >>> decimal_commas(["a;b", "1,5;2"]), decimal_commas(["a;b", "1,5;2.5"])
    (True, False)
    """
    first = next((line for line in lines if line.strip()), "")
    mark = separator_of(first)
    if mark == ",":
        return False
    found = False
    for line in lines:
        if "," in line or "." in line:
            for cell in line.split(mark):
                if _DECIMAL_POINT.fullmatch(cell.strip('"')):
                    return False
                found = found or _DECIMAL_COMMA.fullmatch(cell.strip('"')) is not None
    return found


def _with_decimal_points(lines: list[str]) -> list[str]:
    mark = separator_of(next(line for line in lines if line.strip()))

    def pointed(cell: str) -> str:
        return cell.replace(",", ".") if _DECIMAL_COMMA.fullmatch(cell.strip('"')) else cell

    return [mark.join(map(pointed, line.split(mark))) if "," in line else line for line in lines]


def _of_parquet(file: Path) -> list[str]:
    try:
        import pyarrow.parquet as parquet
    except ImportError:
        raise DataError(
            "Parquet files need the package pyarrow: python -m pip install 'popinv[parquet]', or "
            "python -m pip install pyarrow"
        ) from None
    import pyarrow

    try:
        # Memory-mapped files and remote places are not needed.
        table = parquet.read_table(str(file.resolve()))
    except pyarrow.ArrowException as error:
        raise DataError(f"cannot be read ({error})") from None
    # The index that pandas stores for rows that have none.
    names = [name for name in table.column_names if not name.startswith("__index_level_")]
    return _csv_lines(names, zip(*(table[name].to_pylist() for name in names), strict=True))


def _of_dataset(file: Path) -> list[str]:
    with rows_dataset(file) as dataset:
        names = [str(name) for name, array in dataset.variables.items() if array.ndim == 1]
        dims = {dataset[name].dims for name in names}
        if len(dims) != 1:
            raise DataError(
                "holds no table of rows: a long table has variables along one dimension, one for "
                "each column"
            )
        columns = [_cells(np.asarray(dataset[name].values)) for name in names]
        units = [str(dataset[name].attrs.get("units", "")) for name in names]
    names = [f"{name} [{unit}]" if unit else name for name, unit in zip(names, units, strict=True)]
    return _csv_lines(names, zip(*columns, strict=True))


def rows_dataset(file: Path) -> xr.Dataset:
    """Open a NetCDF or zarr file.

    Raises
    ------
    DataError
        If it names a decoder that could run code. The message does not name the file.
    """
    import xarray as xr  # slow to import, and not needed for CSV files

    if file.suffix.lower() == ".zarr":
        from popinv.store.plain_zarr import refuse_code, refuse_expansion

        if file.is_dir():
            refuse_code(file)
            refuse_expansion(file)
        # A unit such as hours stays a unit, so that the numbers do not become durations.
        return xr.open_zarr(file, consolidated=False, chunks=None, decode_timedelta=False)
    return xr.open_dataset(file, decode_timedelta=False)


def _cells(values: np.ndarray) -> list[Any]:
    if values.dtype.kind == "M":
        return [None if np.isnat(each) else str(each.astype("M8[s]")) for each in values]
    return values.tolist()


def _csv_lines(names: Iterable[str], rows: Iterable[Iterable[Any]]) -> list[str]:
    """Return rows as lines; None and NaN are empty cells."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(names)
    for row in rows:
        writer.writerow("" if cell is None or cell != cell else cell_text(cell) for cell in row)
    return buffer.getvalue().splitlines()


def cell_text(cell: Any) -> str:
    """Return a cell of a table in memory as a CSV file has it."""
    if isinstance(cell, bytes):
        return cell.decode(errors="replace")
    if hasattr(cell, "isoformat"):
        return str(cell.isoformat())
    return repr(cell) if isinstance(cell, float) else str(cell)
