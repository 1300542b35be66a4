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
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

import numpy as np

from popinv.errors import DataError
from popinv.store.plain_zarr import refuse_code, refuse_expansion, refuse_growth

if TYPE_CHECKING:
    import xarray as xr


_COMPRESSED: dict[str, Callable[..., Any]] = {
    ".gz": gzip.open,
    ".bz2": bz2.open,
    ".xz": lzma.open,
}
# A compressed table may become this many times as large, and in any case this many bytes. Numbers
# become about three times as large, and long tables that repeat much about twenty times.
_MOST_GROWTH, _SMALL, _BLOCK = 50, 2**26, 2**20
# A limit, such as <0.15, is a number behind a mark.
_MARK = r"\s*(?:[<>≤≥]=?\s*)?"
_DECIMAL_COMMA = re.compile(_MARK + r"[+-]?\d*,\d+([eE][+-]?\d+)?\s*")
_DECIMAL_POINT = re.compile(_MARK + r"[+-]?(\d+\.\d*|\.\d+)([eE][+-]?\d+)?\s*")
_THOUSANDS = re.compile(_MARK + r"[+-]?[1-9]\d{0,2}(,\d{3})+\s*")
# Whole cells in other spellings of a number, which have one meaning: the minus sign of typesetting,
# and the exponent of Fortran, which always has a point, a sign and two digits or more.
_BEFORE, _BEHIND = r"""(^["\s]*|[,;\t]["\s]*)""", r"""(?=["\s]*(?:[,;\t]|$))"""
_MINUS = re.compile(rf"{_BEFORE}([+−-]?(?:\d+[.,]?\d*|[.,]\d+)(?:[eE][+−-]?\d+)?){_BEHIND}")
_UNUSUAL = re.compile(r"−|[dD][+−-]\d")
_FORTRAN = re.compile(rf"{_BEFORE}([+−-]?(?:\d+\.\d*|\.\d+))[dD]([+−-]\d{{2,3}}){_BEHIND}")


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
        packed = file.suffix.lower() in _COMPRESSED
        text = (_uncompressed(file) if packed else file.read_bytes()).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"is not a text file in UTF-8: byte 0x{error.object[error.start]:02x} in line {line}. "
            "Save it as UTF-8 (spreadsheets call that 'CSV UTF-8')."
        ) from None
    except (EOFError, lzma.LZMAError, zlib.error) as error:
        raise DataError(
            f"cannot be uncompressed ({error}): the file is damaged or was cut off. Copy it again"
        ) from None
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror or error})") from None
    if "\0" in text:
        raise DataError(
            f"line {text.count(chr(10), 0, text.index(chr(0))) + 1} holds a character of value "
            "zero, so the file is damaged or no table of text; write it again as CSV in UTF-8"
        )
    lines = (
        [_usual_spelling(line) for line in _lines(text)] if _UNUSUAL.search(text) else _lines(text)
    )
    return _with_decimal_points(lines) if decimal_commas(lines) else lines


def _uncompressed(file: Path) -> bytes:
    """Return the contents of a compressed file, unless they are far larger than the file."""
    most, size = max(_SMALL, _MOST_GROWTH * file.stat().st_size), 0
    blocks: list[bytes] = []
    with _COMPRESSED[file.suffix.lower()](file, "rb") as stream:
        while block := stream.read(_BLOCK):
            blocks.append(block)
            size += len(block)
            if size > most:
                raise DataError(
                    f"holds more than {most // 2**10:,} KiB, more than {_MOST_GROWTH} times the "
                    "size of the compressed file, as no table of observations does. If it is "
                    "one, uncompress it"
                )
    return b"".join(blocks)


def _usual_spelling(line: str) -> str:
    """Return a line in which numbers have the minus sign and the exponent that are read."""
    line = _FORTRAN.sub(r"\1\2e\3", line)
    return _MINUS.sub(lambda cell: cell[1] + cell[2].replace("−", "-"), line)


def _lines(text: str) -> list[str]:
    """Return the lines of a text; other marks that Unicode has for lines may stand in cells."""
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def cells_of(lines: Iterable[str], separator: str) -> Iterator[list[str]]:
    """Yield the cells of each line of a CSV file, without space at their ends.

    Raises
    ------
    DataError
        If a cell is longer than any number or name. The message does not name the file.
    """
    reader = csv.reader(lines, delimiter=separator, skipinitialspace=True)
    try:
        for cells in reader:
            yield [cell.strip() for cell in cells]
    except csv.Error:
        raise DataError(
            f"holds a cell of more than {csv.field_size_limit():,} characters, as where a "
            "quotation mark is not closed; write a number, or a shorter name"
        ) from None


def separator_of(first: str) -> str:
    """Return the mark between the cells of a file, by its first line.

    A comma beside semicolons or tabs belongs to a name or is a decimal comma.
    """
    return next((mark for mark in ";\t" if mark in first), ",")


def decimal_commas(lines: list[str]) -> bool:
    """Return whether numbers of a table have a decimal comma.

    It is so if semicolons or tabs separate the cells, some cell is a number with one comma, and
    none is a number with a decimal point. A comma before three digits may separate thousands. It
    is then a decimal comma if another cell has one that does not.

    Raises
    ------
    DataError
        If each comma may separate thousands. The message does not name the file.

    Examples
    --------
    >>> decimal_commas(["a;b", "1,5;2"]), decimal_commas(["a;b", "1,5;2.5"])
    (True, False)
    """
    first = next((line for line in lines if line.strip()), "")
    mark = separator_of(first)
    if mark == ",":
        return False
    found, doubtful = False, ""
    for number, line in enumerate(lines, start=1):
        if "," in line or "." in line:
            for cell in (each.strip('"') for each in line.split(mark)):
                if _DECIMAL_POINT.fullmatch(cell):
                    return False
                if _THOUSANDS.fullmatch(cell):
                    doubtful = doubtful or f"line {number} holds {cell.strip()}"
                    if cell.count(",") > 1:
                        return False
                else:
                    found = found or _DECIMAL_COMMA.fullmatch(cell) is not None
    if doubtful and not found:
        raise DataError(
            f"{doubtful}, whose comma may be a decimal comma or separate thousands, as every comma "
            "in a number of the file. Write numbers with a decimal point and without separators"
        )
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
        described = parquet.ParquetFile(str(file.resolve())).metadata
        size = 8 * described.num_rows * described.num_columns
        refuse_growth("variables", size, file.stat().st_size)
        # Memory-mapped files and remote places are not needed.
        # Checksums are there if the writer has stored them.
        table = parquet.read_table(str(file.resolve()), page_checksum_verification=True)
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
        columns = [_cells(valid_values(dataset[name])) for name in names]
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
        if file.is_dir():
            refuse_code(file)
            refuse_expansion(file)
        # A unit such as hours stays a unit, so that the numbers do not become durations.
        return xr.open_zarr(file, consolidated=False, chunks=None, decode_timedelta=False)
    dataset = xr.open_dataset(file, decode_timedelta=False)
    # Values are read when they are needed.
    try:
        size = sum(array.nbytes for array in dataset.variables.values())
        refuse_growth("variables", size, file.stat().st_size)
    except DataError:
        dataset.close()
        raise
    return dataset


def valid_values(array: xr.DataArray) -> np.ndarray:
    """Return the values of a variable, NaN where its own attributes say that there is none.

    These are ``_FillValue`` and ``missing_value``, as far as xarray has not applied them, and
    ``valid_min``, ``valid_max`` and ``valid_range``, which it does not apply. Limits in the type of
    packed values apply to the values before unpacking, as the conventions have it.

    Raises
    ------
    DataError
        If such an attribute is no number. The message does not name the file.
    """
    values = np.asarray(array.values)
    if values.dtype.kind not in "fiu":
        return values
    bad = np.zeros(values.shape, dtype=bool)
    for name in ("_FillValue", "missing_value"):
        bad |= np.isin(values, _numbers_in(array, name))
    low, high = _numbers_in(array, "valid_min"), _numbers_in(array, "valid_max")
    if len(both := _numbers_in(array, "valid_range")) == 2:
        low, high = np.append(low, both[0]), np.append(high, both[1])
    bad |= (values < low.max(initial=-np.inf)) | (values > high.min(initial=np.inf))
    return np.where(bad, np.nan, values) if bad.any() else values


def _numbers_in(array: xr.DataArray, name: str) -> np.ndarray:
    """Return the numbers of an attribute in the unit of the values; none if it is not there."""
    given = np.atleast_1d(array.attrs.get(name, ()))
    if given.size and given.dtype.kind not in "fiu":
        raise DataError(
            f"the attribute '{name}' of the variable '{array.name}' is {array.attrs[name]!r}, not "
            "a number; write it as a number, or delete it"
        )
    encoding, numbers = array.encoding, given.astype(float)
    if given.dtype.kind in "iu" and {"scale_factor", "add_offset"} & set(encoding):
        numbers = numbers * encoding.get("scale_factor", 1.0) + encoding.get("add_offset", 0.0)
    # A limit that was rounded as the values were excludes none that is equal to it.
    return numbers.astype(array.dtype) if array.dtype.kind == "f" else numbers


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
    return _lines(buffer.getvalue())


def cell_text(cell: Any) -> str:
    """Return a cell of a table in memory as a CSV file has it."""
    if isinstance(cell, bytes):
        return cell.decode(errors="replace")
    if hasattr(cell, "isoformat"):
        return str(cell.isoformat())
    # The text of a float64 of NumPy holds the name of its type.
    return repr(float(cell)) if isinstance(cell, float) else str(cell)
