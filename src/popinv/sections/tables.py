"""Tables of text, from files and from memory, and the numbers and times in their columns.

Cells stay text until a caller requests a column as numbers or times, so that a system called
``007`` or a category ``1`` keeps its name. The index of a table is the line of the file, or the row
of a table in memory; messages name it.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING
from unicodedata import decimal

import numpy as np

from popinv.errors import DataError, nearest
from popinv.sections.text_files import cell_text, cells_of, kind_of, read_lines, separator_of
from popinv.sections.units import columns_called, name_and_unit

if TYPE_CHECKING:
    import pandas as pd


_SHOWN = 8
# Rows that are text at a time.
_BLOCK = 4096
_DAY = timedelta(days=1)
# Times of a file are the same up to this share of the longest.
_SAME_TIME = 1e-9
# Dates without marks, which look like numbers, and how they are written instead.
_YEAR, _MONTH, _DAYS = r"(?:1[89]|2[01])\d\d", r"(?:0[1-9]|1[0-2])", r"(?:0[1-9]|[12]\d|3[01])"
_COMPACT_DATES = {
    re.compile(f"({_YEAR})({_MONTH})({_DAYS})(\\d{{4}}|\\d{{6}})?"): r"\1-\2-\3",
    re.compile(f"{_DAYS}{_MONTH}{_YEAR}|{_MONTH}{_DAYS}{_YEAR}"): "2024-01-31",
    re.compile(f"({_YEAR})({_MONTH})"): r"\1-\2-01",
}
# A time of the day without marks, and one of which the first digit shows that it is no number.
_COMPACT_CLOCK, _LEADING_ZERO = re.compile(r"([01]\d|2[0-3])[0-5]\d"), re.compile(r"0\d{3}")

# Marks that people and spreadsheets write at numbers. The spaces include the spaces of typesetting.
_BEGINS = re.compile(r"[<>≤≥~≈+−$€£¥₹\s-]*[\d.,]")
_LIMIT = re.compile(r"[<>≤≥~≈]=?\s*")
_CENSORING = {
    "<": "censored_below",
    "≤": "censored_below",
    ">": "censored_above",
    "≥": "censored_above",
}
_CURRENCY = re.compile(r"[$€£¥₹]\s*|\s*[$€£¥₹%‰]$|\*+$")
_ERROR = re.compile(r"\s*(±|\+/-|\+-).*|\s*\([^()]*\)$")
_UNIT = re.compile(r"(.*\d\.?)(\s*)([^\d\s.,+-].*)")
_POINT = r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?"
_THOUSANDS = re.compile(r"[+-]?\d{1,3}([,'_ \u00a0\u2009\u202f’])\d{3}(\1\d{3})*(\.\d*)?")
_POINTED_THOUSANDS = re.compile(r"[+-]?\d{1,3}(\.\d{3})+,\d+|[+-]?\d{1,3}(\.\d{3}){2,}")
_DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+([eE][+-]?\d+)?")


@dataclass(frozen=True)
class TextTable:
    """The lines of a table in a file, without empty ones.

    Parameters
    ----------
    numbers : list of int
        The numbers of the lines in the file, from 1.
    mark : str
        What separates the cells: a comma, a semicolon or a tab.
    names_columns : bool
        Whether the format of the file has names for the columns. The first line of a CSV file may
        hold anything.
    """

    lines: list[str]
    numbers: list[int]
    mark: str
    names_columns: bool

    def cells(self, start: int = 0, stop: int | None = None) -> list[list[str]]:
        """Return the cells of some lines."""
        return list(cells_of(self.lines[start:stop], self.mark))

    def frame(
        self, header: bool = True, text: Collection[int] | None = None, hint: str = ""
    ) -> pd.DataFrame:
        """Return the table as a DataFrame.

        Parameters
        ----------
        header : bool
            Whether the first line holds the names of the columns. Otherwise they are called
            ``column 1``, ``column 2``, ...
        text : collection of int, optional
            The places of columns of text, from 0. All others are float64, NaN where a value is
            missing. By default all columns are text.
        hint : str
            A sentence that ends the message on text in a first column of numbers.

        Returns
        -------
        DataFrame
            The index, called ``line``, is the number of the line in the file. Cells of text have
            no space at their ends.

        Raises
        ------
        DataError
            If there is no line below the first; if a line has another number of cells than the
            first; or if a cell of a column of numbers is neither a number nor missing. The message
            does not name the file.
        """
        import pandas as pd  # slow to import, and few studies need it

        if len(self.lines) < 1 + header:
            above = " below a first line of names" if header else ""
            raise DataError(f"holds no line of values{above}, and so no observations")
        rows = self._rows_of_cells()
        names = next(rows) if header else [f"column {i + 1}" for i in range(self.width)]
        index = pd.Index(self.numbers[header:], name="line")
        parts: list[list[np.ndarray]] = [[] for _ in names]
        done = 0
        # Cells take much more memory as text than as numbers, so that few are text at a time.
        while block := list(islice(rows, _BLOCK)):
            places = [f"line {number}" for number in index[done : done + len(block)]]
            for j, cells in enumerate(zip(*block, strict=True)):
                if text is None or j in text:
                    parts[j].append(_objects(cells))
                else:
                    told = "" if j else hint
                    parts[j].append(cells_as_numbers(cells, places, f"column {j + 1}", told))
            done += len(block)
        if done < len(index):
            raise DataError("a quoted cell goes over several lines; write each row on one line")
        columns = {}
        for j in range(len(parts)):
            column = np.concatenate(parts[j])
            parts[j], columns[j] = [], pd.Series(column, index, column.dtype, copy=False)
        return pd.DataFrame(columns, index=index, copy=False).set_axis(names, axis=1)

    @property
    def width(self) -> int:
        """Number of cells of the first line."""
        return len(self.cells(0, 1)[0])

    def _rows_of_cells(self) -> Iterator[list[str]]:
        width = self.width
        for number, cells in zip(self.numbers, cells_of(self.lines, self.mark), strict=False):
            if len(cells) != width:
                raise DataError(
                    f"line {number} has {len(cells)} cells, but the first line has {width}"
                )
            yield cells


def read_text(file: Path) -> TextTable:
    """Read a file as a table of text, whatever format :func:`read_lines` knows.

    Raises
    ------
    DataError
        If the file cannot be read as text. The message does not name the file.
    """
    lines = read_lines(file)
    held = [i for i, line in enumerate(lines) if line.strip()]
    mark = separator_of(lines[held[0]]) if held else ","
    return TextTable([lines[i] for i in held], [i + 1 for i in held], mark, kind_of(file) != ".csv")


def read_frame(file: Path) -> pd.DataFrame:
    r"""Return a file with a line of names as a DataFrame of text; see :meth:`TextTable.frame`.

    Raises
    ------
    DataError
        As :func:`read_text` and :meth:`TextTable.frame`.

    Examples
    --------
    >>> _ = Path("long.csv").write_text("subject;time;value\n007;0;1.5\n")
    >>> read_frame(Path("long.csv")).loc[2].tolist()
    ['007', '0', '1.5']
    """
    return read_text(file).frame(True)


def text_frame(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a table in memory as text, as :func:`read_frame` returns a file.

    Parameters
    ----------
    frame : DataFrame
        Its index is left out.

    Returns
    -------
    DataFrame
        The index, called ``row``, is the number of the row from 0.

    Raises
    ------
    DataError
        If two columns have the same name, or columns have names of several levels.

    Examples
    --------
    >>> import pandas as pd
    >>> text_frame(pd.DataFrame({"a": [1.5, None], 0.5: ["x", "y"]})).to_numpy().tolist()
    [['1.5', 'x'], ['', 'y']]
    """
    import pandas as pd  # slow to import

    if frame.columns.nlevels > 1:
        raise DataError("its columns have names of several levels; give each column one name")
    names = [str(name) for name in frame.columns]
    for name in names:
        if (count := names.count(name)) > 1:
            raise DataError(f"{count} columns are called '{name}'; give each its own name")
    cells = {name: _cells_of_column(frame.iloc[:, i]) for i, name in enumerate(names)}
    index = pd.RangeIndex(len(frame), name="row")
    return pd.DataFrame(cells, columns=names, index=index, dtype=object)


def _cells_of_column(column: pd.Series) -> list[str]:
    if column.dtype == bool:
        column = column.astype(int)
    missing = column.isna().to_numpy()
    return [
        "" if gap else cell_text(cell).strip()
        for cell, gap in zip(column.tolist(), missing, strict=True)
    ]


def _objects(cells: Sequence[str]) -> np.ndarray:
    column = np.empty(len(cells), dtype=object)
    column[:] = cells
    return column


def place_in(frame: pd.DataFrame, row: int) -> str:
    """Return the place of a row in words: ``line 2`` of a file, ``row 0`` of a table in memory."""
    return f"{frame.index.name} {frame.index[row]}"


def cells_as_numbers(
    cells: Sequence[str], places: Sequence[str], column: str, hint: str = ""
) -> np.ndarray:
    """Return cells as numbers, NaN where a value is missing. Infinity is a number here.

    Parameters
    ----------
    places : sequence of str
        The rows in words.
    column : str
        The column in words.
    hint : str
        A sentence that ends the message on text.

    Raises
    ------
    DataError
        If a cell is neither a number nor missing.
    """
    joined = "".join(cells)
    if joined.isascii() and "_" not in joined:
        with contextlib.suppress(ValueError):
            return np.fromiter(map(float, cells), dtype=float, count=len(cells))
    values = np.full(len(cells), np.nan)
    for row, cell in enumerate(cells):
        if is_number(cell):
            values[row] = float(cell)
        elif not is_missing(cell):
            advice = advice_on(cell) or (
                "Every observation must be a finite number. An empty cell, NA and NaN are missing."
                + hint
            )
            raise DataError(f"{places[row]}, {column} is '{cell}', not a number. {advice}")
    return values


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
    if limit and limit[0][0] in _CENSORING:
        key = _CENSORING[limit[0][0]]
        return (
            f"Write the limit itself, {text}, and state it in the section 'observations' of the "
            f"study: '{key}: {text}'."
        )
    if unit:
        return (
            f"Write the number alone, {text}, and its unit in the column's name, such as "
            f"'dose [{unit}]'."
        )
    return f"Write the number alone: {text}."


_MARKS = {"censored_below": 1, "censored_above": -1}


def limit_of(cell: str) -> tuple[str, float] | None:
    """Return the key that states the limit which a cell holds, and the limit; None for others.

    Examples
    --------
    >>> limit_of("<0.4"), limit_of("> 7"), limit_of("0.4")
    (('censored_below', 0.4), ('censored_above', 7.0), None)
    """
    mark, number = cell[:1], cell[1:].strip().removeprefix("=").strip()
    if mark not in _CENSORING or not is_number(number) or not np.isfinite(float(number)):
        return None
    return _CENSORING[mark], float(number)


def are_categories(cells: Iterable[str]) -> bool:
    """Return whether the different cells of a column are categories such as <5 and >=5.

    They lie on both sides of a limit, and no number is among them.
    """
    held = [cell for cell in cells if not is_missing(cell)]
    limits = [limit for cell in held if (limit := limit_of(cell)) is not None]
    return len(limits) == len(held) and {key for key, _ in limits} == set(_MARKS)


def _unit_behind(text: str) -> str:
    """Return the unit behind a number, or ""."""
    match = _UNIT.fullmatch(text)
    # Letters right behind a whole number count things, such as plots 1A and 1B.
    if match is None or (not match[2] and match[3].isupper() and match[1].isdigit()):
        return ""
    return match[3] if name_and_unit(f"x ({match[3]})")[1] else ""


def is_missing(cell: str) -> bool:
    """Return whether a cell stands for a missing value: empty, ``NA``, ``NaN`` or a dot."""
    return cell.casefold() in ("", "na", "nan", ".")


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
        A table of text.
    stand_ins : sequence of float
        Numbers that stand for a missing value.

    Raises
    ------
    DataError
        If a cell is neither a finite number nor missing, with its line.
    """
    cells = [str(cell) for cell in frame[column]]
    values = np.array([np.nan if is_missing(cell) else _number(cell) for cell in cells])
    for row in np.flatnonzero(np.isinf(values)).tolist():
        advice = f" {told}" if (told := advice_on(cells[row])) else ""
        raise DataError(
            f"{place_in(frame, row)}: the column '{column}' holds {cells[row]!r}, which is no "
            f"finite number; an empty cell, NA and NaN are missing.{advice}"
        )
    values[np.isin(values, stand_ins)] = np.nan
    return values


def marked_numbers_of(
    frame: pd.DataFrame, column: str, stand_ins: Sequence[float] = ()
) -> tuple[np.ndarray, np.ndarray]:
    """Return a column of numbers and limits, such as ``<0.4``, and what marks each cell, both (n,).

    The number of a limit is the limit. The mark is 1 where the value is known to lie below it, -1
    where it lies above, and 0 for a number.

    Raises
    ------
    DataError
        As :func:`numbers_of`.
    """
    frame, marks = _with_limits_as_numbers(frame, column)
    return numbers_of(frame, column, stand_ins), marks


def _with_limits_as_numbers(frame: pd.DataFrame, column: str) -> tuple[pd.DataFrame, np.ndarray]:
    """Return a table with the limits of a column as numbers, and the marks of its cells (n,)."""
    cells = [str(cell) for cell in frame[column]]
    known = {cell: limit_of(cell) for cell in set(cells)}
    limits = [known[cell] for cell in cells]
    marks = np.array([0 if each is None else _MARKS[each[0]] for each in limits], dtype=int)
    if not marks.any():
        return frame, marks
    pairs = zip(cells, limits, strict=True)
    plain = [cell if limit is None else repr(limit[1]) for cell, limit in pairs]
    return frame.assign(**{column: plain}), marks


def without_marks(frame: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, int]]:
    """Return a table with the limits of its columns of numbers as numbers, and counts of these.

    A column that holds other text, too, stays as it is.
    """
    counts: dict[str, int] = {}
    for column in dict.fromkeys(map(str, frame.columns)):
        if frame[column].ndim > 1:
            continue
        plain, marks = _with_limits_as_numbers(frame, column)
        if not marks.any() or are_categories(frame[column].unique()):
            continue
        with contextlib.suppress(DataError):
            numbers_of(plain, column)
            frame, counts[column] = plain, int(np.count_nonzero(marks))
    return frame, counts


@dataclass(frozen=True)
class Seen:
    """The column of values of a long table, and the numbers that stand for a missing one."""

    column: str
    stand_ins: tuple[float, ...] = ()

    def rows(self, frame: pd.DataFrame) -> np.ndarray:
        """Boolean mask (n,) of the rows with a value."""
        value = named_column(frame, self.column, "observations.value_column")
        return ~np.isnan(marked_numbers_of(frame, value, self.stand_ins)[0])


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
        Also if its numbers look like dates or times of the day without marks, such as 20240131 and
        0830, whose differences are no times.
    """
    if told := compact_times(frame[column]):
        raise DataError(f"the column '{column}' of times holds {told}")
    return times_of(frame, column)


def compact_times(cells: Iterable[str]) -> str:
    """Return what cells hold and what to write, if all are times without marks; else "".

    Examples
    --------
    >>> compact_times(["0830", "1015"])[:44]
    '0830, as times of the day without marks; wri'
    >>> compact_times(["20240131", ""])
    '20240131, as dates without marks; write 2024-01-31 for a date, or the time since a first one'
    >>> compact_times(["830", "1015"])
    ''
    """
    held = [cell for cell in cells if not is_missing(cell)]
    for form, example in _COMPACT_DATES.items():
        if held and all(map(form.fullmatch, held)):
            return (
                f"{held[0]}, as dates without marks; write {form.sub(example, held[0])} for a "
                "date, or the time since a first one"
            )
    clock = [cell for cell in held if _LEADING_ZERO.fullmatch(cell)]
    if clock and all(map(_COMPACT_CLOCK.fullmatch, held)):
        return (
            f"{clock[0]}, as times of the day without marks; write the time since a first one as "
            "a number, such as 8.5 for 08:30"
        )
    return ""


def times_of_file(
    file: str, column: str, grid: int | None = None, seen: Seen | None = None
) -> list[float]:
    """Return the different times of a long table, in increasing order.

    Times that differ by rounding are one. With ``grid``, they are the times of a regular grid,
    from the first to the last, that are nearest to a time of the file.

    Parameters
    ----------
    file, column : str
        A CSV file, and its column of times: numbers, or dates, which become days since the first.
    grid : int, optional
        At least 2.
    seen : Seen, optional
        The values. A row without one has no time.

    Raises
    ------
    DataError
        If the file cannot be read, has no such column, or holds something else than times there.
        The message does not name the file.
    """
    return different_times(read_frame(Path(file)), column, grid, seen)


def different_times(
    frame: pd.DataFrame, column: str, grid: int | None = None, seen: Seen | None = None
) -> list[float]:
    """Return the times of :func:`times_of_file` for a table of text.

    Raises
    ------
    DataError
        As for the file.
    """
    held = stated_times(frame, named_column(frame, column, "forward.observations.times.column"))
    if seen is not None:
        held = held[seen.rows(frame)]
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


def joint_times(times: Sequence[float], more: Sequence[float]) -> list[float]:
    """Return times with those of ``more`` that are none of them, in increasing order.

    Examples
    --------
    >>> joint_times([0.0, 1.0], [1.0, 0.5])
    [0.0, 0.5, 1.0]
    """
    own = np.asarray(times, dtype=float)
    other = [t for t in more if not len(own) or np.abs(own - t).min() > same_time(own)]
    return sorted({*own.tolist(), *map(float, other)})


def _number(cell: str) -> float:
    """Return the number that a cell holds, infinity where it holds none."""
    value = float(cell) if is_number(cell) else np.inf
    return np.inf if np.isnan(value) else value


def _date(cell: str) -> datetime | None:
    try:
        return datetime.fromisoformat(cell)
    except ValueError:
        return None
