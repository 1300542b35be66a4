"""CSV files with a first line of names, as tables of text, and the numbers and times in them.

Cells stay text until a column is asked for as numbers or times, so that a system called ``007`` or
a category ``1`` keeps its name. The index of a table is the line of the file.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from unicodedata import decimal

import numpy as np

from popinv.errors import DataError, nearest
from popinv.sections.text_files import cells_of, read_lines, separator_of
from popinv.sections.units import columns_called, name_and_unit

if TYPE_CHECKING:
    import pandas as pd


_SHOWN = 8
_DAY = timedelta(days=1)
# Times of a file are the same up to this share of the longest.
_SAME_TIME = 1e-9
# A date without marks, and perhaps a time of the day.
_COMPACT_DATE = re.compile(r"(1[89]|2[01])\d\d(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])(\d{4}|\d{6})?")

# Marks that people and spreadsheets write at numbers. The spaces are those of typesetting, too.
_BEGINS = re.compile(r"[<>≤≥~≈+−$€£¥₹\s-]*[\d.,]")
_LIMIT = re.compile(r"[<>≤≥~≈]\s*")
_CURRENCY = re.compile(r"[$€£¥₹]\s*|\s*[$€£¥₹%‰]$|\*+$")
_ERROR = re.compile(r"\s*(±|\+/-|\+-).*|\s*\([^()]*\)$")
_UNIT = re.compile(r"(.*\d\.?)(\s*)([^\d\s.,+-].*)")
_POINT = r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?"
_THOUSANDS = re.compile(r"[+-]?\d{1,3}([,'_ \u00a0\u2009\u202f’])\d{3}(\1\d{3})*(\.\d*)?")
_POINTED_THOUSANDS = re.compile(r"[+-]?\d{1,3}(\.\d{3})+,\d+|[+-]?\d{1,3}(\.\d{3}){2,}")
_DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+([eE][+-]?\d+)?")


def read_frame(file: Path, header: bool = True) -> pd.DataFrame:
    r"""Return a file as a table of text, whatever format :func:`read_lines` knows.

    Commas, semicolons or tabs separate the cells. Lines without a cell are skipped.

    Parameters
    ----------
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
    rows = cells_of((lines[i] for i in places), mark)
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
    """Return whether a cell is a number, such as nan and inf are too.

    Underscores and the digits of other scripts, which Python knows, are text.
    """
    try:
        float(cell)
    except ValueError:
        return False
    return cell.isascii() and "_" not in cell


def advice_on(cell: str) -> str:
    """Return what to write for a number with marks at it, or "" if the cell is no such number.

    Examples
    --------
    >>> advice_on("5.2 mg")
    "Write the number alone, 5.2, and its unit in the column's name, such as 'dose [mg]'."
    >>> advice_on("1,024")
    'Write 1024 if the comma separates thousands, and 1.024 if it is a decimal comma.'
    >>> advice_on("s12")
    ''
    """
    # Most text begins with a letter, and a table may have much of it.
    if not _BEGINS.match(cell):
        return ""
    text = "".join(str(decimal(sign)) if sign.isdecimal() else sign for sign in cell)
    text = text.replace("−", "-").strip()
    limit = _LIMIT.match(text)
    text = _CURRENCY.sub("", _ERROR.sub("", text[limit.end() :] if limit else text)).strip()
    unit = _unit_behind(text)
    if unit:
        text = text[: -len(unit)].rstrip()
    if _THOUSANDS.fullmatch(text):
        if text.count(",") == 1 and "." not in text:
            return (
                f"Write {text.replace(',', '')} if the comma separates thousands, and "
                f"{text.replace(',', '.')} if it is a decimal comma."
            )
        text = re.sub(r"[^\d.+-]", "", text)
    elif _POINTED_THOUSANDS.fullmatch(text):
        text = text.replace(".", "").replace(",", ".")
    elif _DECIMAL_COMMA.fullmatch(text):
        if text == cell:
            return f"Write numbers with a decimal point: {text.replace(',', '.')}."
        text = text.replace(",", ".")
    elif re.fullmatch(r"[+-]?\d*\.\d+[dD][+-]?\d+", text):
        text = text.replace("d", "e").replace("D", "e")
    if text == cell or not re.fullmatch(_POINT, text):
        return ""
    if limit and limit[0][0] in "<≤>≥":
        key = "censored_below" if limit[0][0] in "<≤" else "censored_above"
        return f"Write the limit itself, {text}, and state it as 'observations.{key}'."
    if unit:
        return (
            f"Write the number alone, {text}, and its unit in the column's name, such as "
            f"'dose [{unit}]'."
        )
    return f"Write the number alone: {text}."


def _unit_behind(text: str) -> str:
    """Return the unit behind a number, or ""."""
    match = _UNIT.fullmatch(text)
    # Letters right behind a whole number count things, such as plots 1A and 1B.
    if match is None or (not match[2] and match[3].isupper() and match[1].isdigit()):
        return ""
    return match[3] if name_and_unit(f"x ({match[3]})")[1] else ""


def is_missing(cell: str) -> bool:
    """Return whether a cell stands for a missing value: it is empty, ``NA`` or ``NaN``."""
    return cell.casefold() in ("", "na", "nan")


def named_column(frame: pd.DataFrame, name: str, key: str) -> str:
    """Return a column, which the file must have once, by its name with or without its unit.

    Parameters
    ----------
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
        advice = f" {told}" if (told := advice_on(cells[row])) else ""
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


def stated_times(frame: pd.DataFrame, column: str) -> np.ndarray:
    """Return a column that is said to hold times, as :func:`times_of`.

    Raises
    ------
    DataError
        Also if its numbers look like dates without marks, such as 20240131, whose differences are
        no times.
    """
    held = [cell for cell in frame[column] if not is_missing(cell)]
    if held and all(map(_COMPACT_DATE.fullmatch, held)):
        cell = held[0]
        raise DataError(
            f"the column '{column}' of times holds {cell}, as dates without marks; write "
            f"{cell[:4]}-{cell[4:6]}-{cell[6:8]} for a date, or the time since a first one"
        )
    return times_of(frame, column)


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
    held = stated_times(frame, named_column(frame, column, "forward.observations.times.column"))
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
    value = float(cell) if is_number(cell) else np.inf
    return np.inf if np.isnan(value) else value


def _date(cell: str) -> datetime | None:
    try:
        return datetime.fromisoformat(cell)
    except ValueError:
        return None
