"""Tables of observations in CSV files: rows are systems, columns are sensors.

Commas, semicolons or tabs separate the cells. A first line without a number holds column names,
which messages and figures use. A first line of numbers is
a system, unless it looks like places or times (:mod:`popinv.observation_files.headers`). The user
must then state its meaning. An empty cell, ``NA`` and ``NaN`` are missing values.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np

from popinv.errors import DataError, nearest
from popinv.observation_files.headers import LINES_BELOW, standing_out
from popinv.observation_files.table import ObservationTable
from popinv.sections.tables import advice_on, is_missing, is_number
from popinv.sections.text_files import cells_of, kind_of, read_lines, separator_of
from popinv.sections.units import columns_called, name_and_unit

# So many decimal places hardly all begin with another digit than zero.
_WITHOUT_ZEROS = 100
_WHOLE = frozenset('+-0123456789," ')


def likely_header(file: Path) -> bool:
    """Return whether the first line of a CSV file holds numbers that look like places or times.

    Raises
    ------
    DataError
        If the file is not text. The message does not name the file.
    """
    if kind_of(file) != ".csv":
        return False
    rows = [line for line in read_lines(file) if line.strip()]
    return bool(rows) and _standing_out(rows, separator_of(rows[0])) is not None


def has_names(file: Path) -> bool:
    """Return whether the first line of a CSV file names columns.

    It does if it holds no number, or text above columns of numbers.

    Raises
    ------
    DataError
        If the file is not text. The message does not name the file.
    """
    rows = [line for line in read_lines(file) if line.strip()]
    if not rows:
        return False
    if kind_of(file) != ".csv":
        return True
    separator = separator_of(rows[0])
    return _is_header(_cells(rows[0], separator), rows[1:], separator)


def likely_system_column(file: Path, header: bool = False) -> str | None:
    """Return the name of a CSV file's first column, if it seems to name or count the systems.

    It does so if the first line names it, and either no cell below is a number or the cells count
    the rows. A first column that counts the rows without a name is refused, as it would be taken
    for observations. With ``header`` the first line counts as a line of names.

    Raises
    ------
    DataError
        If the file is not text, or a column without a name counts its rows. The message does not
        name the file.
    """
    rows = [line for line in read_lines(file) if line.strip()]
    if not rows:
        return None
    separator = separator_of(rows[0])
    names = _cells(rows[0], separator)
    titled = header or _is_header(names, rows[1:], separator)
    first = [(_cells(row, separator) or [""])[0] for row in rows[titled:]]
    counts = [str(i) for i in range(len(first) + 1)]
    if len(first) < 2 or len(names) < 2:
        return None
    if first in (counts[:-1], counts[1:]):
        if titled and names[0]:
            return names[0]
        raise DataError(
            "the first column counts the rows; leave it out, or give it a name in the first line"
        )
    if titled and names[0] and not any(map(is_number, first)):
        return names[0]
    return None


def read_csv(
    file: Path,
    system_column: str | None = None,
    noise_scale_column: str | None = None,
    header: bool | None = None,
    others: Sequence[str] = (),
) -> ObservationTable:
    """Read a CSV file.

    Parameters
    ----------
    system_column, noise_scale_column : str, optional
        Names of the columns that hold the systems' names and noise scales, as the first line has
        them.
    others : sequence of str
        Names of further columns that do not hold observations.
    header : bool, optional
        Whether the first line is skipped, as it holds names, places or times. None skips it if a
        column is named or the line holds no number.

    Raises
    ------
    DataError
        If the file is not text; if a first line of numbers looks like places or times and
        ``header`` is None; if lines differ in length; if a cell is neither a number nor missing
        (with line and column); or if a named column does not exist. The message does not name the
        file.
    """
    lines = read_lines(file)
    if kind_of(file) != ".csv":
        # Other tables always name their columns.
        header = True
    numbers = [i for i, line in enumerate(lines) if line.strip()]
    if not numbers:
        return ObservationTable(np.empty((0, 0)), [], [])
    first = lines[numbers[0]]
    separator = separator_of(first)
    names = _cells(first, separator)
    named = {
        key: _column(name, key, names)
        for key, name in (
            ("system_column", system_column),
            ("noise_scale_column", noise_scale_column),
        )
        if name is not None
    }
    skipped = {_column(name, "ignored_columns", names) for name in others}
    if header is None:
        rows = [lines[i] for i in numbers]
        header = bool(named or skipped) or _is_header(names, rows[1:], separator)
        if not header:
            _refuse_places(rows, separator, numbers[0] + 1)
    if header:
        numbers = numbers[1:]
    else:
        _refuse_split_numbers(lines, numbers, separator)
    width = len(names)
    rows = [lines[i] for i in numbers]
    table = None if "system_column" in named else _fast(rows, separator, width)
    ids = np.array([], dtype=np.str_)
    if table is None:
        table, ids = _slow(rows, numbers, separator, width, named.get("system_column"), skipped)
    taken = skipped.union(named.values())
    observed = [column for column in range(width) if column not in taken]
    scale = named.get("noise_scale_column")
    return ObservationTable(
        table[:, observed],
        rows=[f"line {i + 1}" for i in numbers],
        columns=[
            f"column {column + 1}" + (f" ({names[column]})" if header and names[column] else "")
            for column in observed
        ],
        noise_scale=None if scale is None else table[:, scale],
        system_ids=ids if "system_column" in named else None,
        names=_different([names[column] for column in observed], observed) if header else None,
        units=[name_and_unit(names[column])[1] for column in observed] if header else (),
    )


def _is_header(cells: list[str], below: list[str], separator: str) -> bool:
    """Return whether a first line names columns: without numbers, or with text above numbers."""
    # A line with only missing values is a system without observations, which is refused.
    if all(map(is_missing, cells)):
        return False
    if not any(map(is_number, cells)):
        return True
    # A number with marks at it is no name among numbers.
    text = [
        i
        for i, cell in enumerate(cells)
        if not (is_number(cell) or is_missing(cell) or advice_on(cell))
    ]
    table = [_cells(line, separator) for line in below[:LINES_BELOW]] if text else []
    return bool(table) and any(
        all(len(row) == len(cells) and is_number(row[i]) for row in table) for i in text
    )


def _standing_out(rows: list[str], separator: str) -> str | None:
    """Return the trait by which the first of some lines looks like places or times, or None."""
    first = _cells(rows[0], separator)
    # Names of systems may stand before or after the numbers.
    if not any(map(is_number, first)) or _is_header(first, rows[1:], separator):
        return None
    return standing_out(first, [_cells(row, separator) for row in rows[1 : 1 + LINES_BELOW]])


def _refuse_places(rows: list[str], separator: str, number: int) -> None:
    if (trait := _standing_out(rows, separator)) is None:
        return
    first = _cells(rows[0], separator)
    shown = ", ".join(first[:4]) + (", ..." if len(first) > 4 else "")
    raise DataError(
        f"line {number} ({shown}) looks like places or times above the systems: its numbers "
        f"{trait}, unlike those of the lines below. Set 'observations.header': true leaves the "
        "line out, false reads it as a system."
    )


def _refuse_split_numbers(lines: list[str], numbers: list[int], separator: str) -> None:
    """Refuse rows of whole numbers that may be numbers with decimal commas between commas."""
    line = lines[numbers[0]]
    # Most tables hold other signs in their first line.
    if separator != "," or (first := line.count(",")) % 2 == 0 or set(line) - _WHOLE:
        return
    rows = [lines[i].replace('"', "").replace(" ", "").split(",") for i in numbers]
    if any(len(row) != first + 1 for row in rows):
        return
    cells = np.array(rows, dtype=np.str_)
    whole, behind = cells[:, ::2].ravel(), cells[:, 1::2]
    if not (np.char.isdigit(behind).all() and np.char.isdigit(np.char.lstrip(whole, "+-")).all()):
        return
    digits = np.char.str_len(behind)
    before = np.char.str_len(np.char.lstrip(whole, "+-"))
    padded = np.char.startswith(behind, "0") & (digits > 1)
    if np.any(np.char.startswith(whole, "0") & (before > 1)):
        return
    # Decimal places are as many in all rows, and one in ten of them begins with a zero.
    places = bool(np.all(digits == digits[0])) and digits.size < _WITHOUT_ZEROS
    if padded.any() or (places and (digits.min() > 1 or before.min() > 1)):
        shown, count = line.strip(), (first + 1) // 2
        raise DataError(
            f"line {numbers[0] + 1} ({shown[:40]}{'...' if len(shown) > 40 else ''}) holds "
            f"{first + 1} whole numbers, or {count} with decimal commas, as every line. Write "
            f"decimal points, or name the {first + 1} columns in a first line"
        )


def _column(name: str, key: str, header: list[str]) -> int:
    found = columns_called(header, name)
    places = [i for i, cell in enumerate(header) if cell in found]
    if len(places) == 1:
        return places[0]
    if places:
        raise DataError(f"{len(places)} columns are called '{name}' (observations.{key})")
    if all(is_number(cell) or is_missing(cell) for cell in header):
        raise DataError(
            f"there is no column '{name}' (observations.{key}): the first line holds no names"
        )
    shown = ", ".join(header[:5]) + (", ..." if len(header) > 5 else "")
    raise DataError(
        f"there is no column '{name}' (observations.{key}); the first line names {shown}."
        f"{nearest(name, header)}"
    )


def _different(names: list[str], columns: Sequence[int]) -> list[str] | None:
    """Return the names of columns, or None if they do not tell the columns apart.

    Places and times may repeat. Other names may not.
    """
    for i, name in enumerate(names):
        if name and not is_number(name) and (first := names.index(name)) < i:
            raise DataError(
                f"columns {columns[first] + 1} and {columns[i] + 1} are both called '{name}'. "
                "Leave out one if they hold the same observation, which would count twice; give "
                "them different names if they do not"
            )
    return names if all(names) and len(set(names)) == len(names) else None


def _fast(rows: list[str], separator: str, width: int) -> np.ndarray | None:
    """Read with the parser written in C; return None if it cannot read the rows."""
    if not rows:
        return np.empty((0, width))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            values = np.loadtxt(rows, delimiter=separator, ndmin=2, comments=None)
    except (ValueError, UserWarning):
        return None
    return values if values.shape == (len(rows), width) else None


def _slow(
    rows: list[str],
    numbers: list[int],
    separator: str,
    width: int,
    text: int | None,
    skipped: Collection[int] = (),
) -> tuple[np.ndarray, np.ndarray]:
    """Read cell by cell. The column ``text`` may hold anything, and is returned separately.

    Columns that are skipped may hold anything, too.
    """
    values, names = np.full((len(rows), width), np.nan), []
    for row, (number, line) in enumerate(zip(numbers, rows, strict=True)):
        cells = _cells(line, separator)
        if len(cells) != width:
            raise DataError(
                f"line {number + 1} has {len(cells)} columns, but the lines before it have {width}"
            )
        for column, cell in enumerate(cells):
            if column == text:
                names.append(cell)
            elif column in skipped:
                continue
            elif is_number(cell):
                values[row, column] = float(cell)
            elif not is_missing(cell):
                raise DataError(
                    f"line {number + 1}, column {column + 1} is '{cell}', not a number. "
                    + _advice(cell, column, text)
                )
    return values, np.array(names, dtype=np.str_)


def _advice(cell: str, column: int, text: int | None) -> str:
    if advice := advice_on(cell):
        return advice
    names = (
        " The key 'observations.system_column' names a column that holds the systems' names."
        if column == 0 and text is None
        else ""
    )
    return (
        "Every observation must be a finite number. An empty cell, NA and NaN are missing." + names
    )


def _cells(line: str, separator: str) -> list[str]:
    return next(iter(cells_of([line], separator)), [])
