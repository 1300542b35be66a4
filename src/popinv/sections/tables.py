"""CSV files with a first line of names, as tables of text, and the numbers and times in them.

Cells stay text until a column is asked for as numbers or times, so that a system called ``007`` or
a category ``1`` keeps its name. The index of a table is the line of the file.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from popinv.errors import DataError, nearest
from popinv.sections.text_files import read_lines, separator_of
from popinv.sections.units import columns_called

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "different_times",
    "is_dates",
    "is_missing",
    "is_number",
    "named_column",
    "nearest_time",
    "numbers_of",
    "read_frame",
    "same_time",
    "times_of",
    "times_of_file",
]

_SHOWN = 8
_DAY = timedelta(days=1)
# Times of a file are the same up to this share of the longest.
_SAME_TIME = 1e-9


def read_frame(file: Path, header: bool = True) -> pd.DataFrame:
    r"""Return a file as a table of text, whatever format :func:`read_lines` knows.

    Commas, semicolons or tabs separate the cells. Lines without a cell are skipped.

    Parameters
    ----------
    file : Path
    header : bool
        Whether the first line holds the names of the columns. Otherwise they are called
        ``column 1``, ``column 2``, ...

    Returns
    -------
    DataFrame
        The index is the number of the line, from 1. Cells have no space at their ends.

    Raises
    ------
    DataError
        If the file cannot be read as text; if it has no line below the first; or if a line has
        another number of cells than the first. The message does not name the file.

    Examples
    --------
    >>> _ = Path("long.csv").write_text("subject;time;value\n007;0;1.5\n")
    >>> read_frame(Path("long.csv")).loc[2].tolist()
    ['007', '0', '1.5']
    """
    import pandas as pd  # slow to import, and few studies need it

    lines = read_lines(file)
    places = [i for i, line in enumerate(lines) if line.strip()]
    if len(places) < 1 + header:
        above = " below a first line of names" if header else ""
        raise DataError(f"holds no line of values{above}")
    mark = separator_of(lines[places[0]])
    rows = [
        [cell.strip() for cell in cells]
        for cells in csv.reader((lines[i] for i in places), delimiter=mark, skipinitialspace=True)
    ]
    width = len(rows[0])
    for place, cells in zip(places, rows, strict=False):
        if len(cells) != width:
            raise DataError(
                f"line {place + 1} has {len(cells)} cells, but the first line has {width}"
            )
    if len(rows) != len(places):
        raise DataError("a quoted cell goes over several lines; write each row on one line")
    index = pd.Index([place + 1 for place in places[header:]], name="line")
    names = rows[0] if header else [f"column {i + 1}" for i in range(width)]
    return pd.DataFrame(rows[header:], columns=names, index=index, dtype=object)


def is_number(cell: str) -> bool:
    """Return whether a cell is a number, such as nan and inf are too."""
    try:
        float(cell)
    except ValueError:
        return False
    return True


def is_missing(cell: str) -> bool:
    """Return whether a cell stands for a missing value: it is empty, ``NA`` or ``NaN``."""
    return cell.casefold() in ("", "na", "nan")


def named_column(frame: pd.DataFrame, name: str, key: str) -> str:
    """Return a column, which the file must have once, by its name with or without its unit.

    Parameters
    ----------
    frame : DataFrame
    name : str
    key : str
        The key of the configuration that names it, for the message.

    Raises
    ------
    DataError
        If there is no such column, with the nearest name; or if there are several.
    """
    columns = list(map(str, frame.columns))
    found = columns_called(columns, name)
    if not found:
        more = ", ..." if len(columns) > _SHOWN else ""
        raise DataError(
            f"there is no column '{name}' ({key}); the columns are "
            f"{', '.join(columns[:_SHOWN])}{more}.{nearest(name, columns)}"
        )
    if len(found) > 1:
        raise DataError(f"{len(found)} columns are called '{name}' ({key})")
    return found[0]


def numbers_of(frame: pd.DataFrame, column: str, stand_ins: Sequence[float] = ()) -> np.ndarray:
    """Return a column of numbers, NaN where a value is missing.

    Parameters
    ----------
    frame : DataFrame
        As :func:`read_frame` returns it.
    column : str
    stand_ins : sequence of float
        Numbers that stand for a missing value.

    Raises
    ------
    DataError
        If a cell is neither a finite number nor missing, with its line.
    """
    cells = frame[column].to_numpy(dtype=object)
    values = np.array([np.nan if is_missing(cell) else _number(cell) for cell in cells])
    for row in np.flatnonzero(np.isinf(values)).tolist():
        advice = ""
        if "," in cells[row] and np.isfinite(_number(cells[row].replace(",", "."))):
            advice = f" Write numbers with a decimal point: {cells[row].replace(',', '.')}."
        elif cells[row].startswith("<"):
            advice = (
                f" Write the limit itself, {cells[row].lstrip('<= ')}, and state it as "
                "'observations.censored_below'."
            )
        raise DataError(
            f"line {frame.index[row]}: the column '{column}' holds {cells[row]!r}, which is no "
            f"finite number; an empty cell, NA and NaN are missing.{advice}"
        )
    values[np.isin(values, stand_ins)] = np.nan
    return values


def is_dates(cells: Sequence[str]) -> bool:
    """Return whether cells hold dates in the form of ISO 8601, at least one, and nothing else.

    Examples
    --------
    >>> is_dates(["2024-03-01", "2024-03-01T12:00"]), is_dates(["20240301"]), is_dates(["1 May"])
    (True, False, False)
    """
    held = [cell for cell in cells if not is_missing(cell)]
    return bool(held) and all("-" in cell[1:] and _date(cell) is not None for cell in held)


def times_of(frame: pd.DataFrame, column: str) -> np.ndarray:
    """Return a column of times: numbers, or dates as days since the first of them.

    Raises
    ------
    DataError
        If a cell is neither, or if dates with and without a time zone are mixed.
    """
    cells = frame[column].tolist()
    if not is_dates(cells):
        return numbers_of(frame, column)
    dates = [None if is_missing(cell) else _date(cell) for cell in cells]
    try:
        first = min(date for date in dates if date is not None)
    except TypeError:
        raise DataError(f"the column '{column}' holds dates with and without a time zone") from None
    return np.array([np.nan if date is None else (date - first) / _DAY for date in dates])


def times_of_file(file: str, column: str, grid: int | None = None) -> list[float]:
    """Return the different times of a long table, in increasing order.

    Times that differ by rounding are one. With ``grid``, the times are those among so many at equal
    distances, from the first to the last, that are nearest to a time of the file.

    Parameters
    ----------
    file, column : str
        A CSV file, and its column of times: numbers, or dates, which become days since the first.
    grid : int, optional
        At least 2.

    Raises
    ------
    DataError
        If the file cannot be read, has no such column, or holds something else than times there.
        The message does not name the file.
    """
    return different_times(read_frame(Path(file)), column, grid)


def different_times(frame: pd.DataFrame, column: str, grid: int | None = None) -> list[float]:
    """Return the times of :func:`times_of_file` for a table of text.

    Raises
    ------
    DataError
        As for the file.
    """
    held = times_of(frame, named_column(frame, column, "forward.observations.times.column"))
    different = np.unique(held[np.isfinite(held)])
    if not len(different):
        raise DataError(f"the column '{column}' holds no time")
    if grid is not None:
        places = np.linspace(different[0], different[-1], grid)
        return places[np.unique(nearest_time(different, places))].tolist()
    rounding = same_time(different)
    return different[np.diff(different, prepend=-np.inf) > rounding].tolist()


def nearest_time(times: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Return the number of the nearest place (n,) to each time; the earlier of two.

    Parameters
    ----------
    times : ndarray of shape (n,)
    places : ndarray of shape (k,)
        In increasing order.

    Examples
    --------
    >>> nearest_time(np.array([-1, 0.4, 0.5, 0.6, 9]), np.array([0.0, 1.0])).tolist()
    [0, 0, 0, 1, 1]
    """
    middles = (places[1:] + places[:-1]) / 2
    return np.searchsorted(middles, times, side="left")


def same_time(of: np.ndarray) -> float:
    """Return the largest difference of two times that are the same, but for rounding.

    Parameters
    ----------
    of : ndarray of shape (n,)
        The times among which they are.
    """
    return _SAME_TIME * float(np.abs(of).max(initial=0.0))


def _number(cell: str) -> float:
    """Return the number that a cell holds, infinity where it holds none."""
    try:
        value = float(cell)
    except ValueError:
        return np.inf
    return np.inf if np.isnan(value) else value


def _date(cell: str) -> datetime | None:
    try:
        return datetime.fromisoformat(cell)
    except ValueError:
        return None
