"""Wide tables: rows are systems, columns are sensors.

Commas, semicolons or tabs separate the cells of a file. A first line without a number holds column
names, which messages and figures use. A first line of numbers is a system, unless it looks like
places or times (:mod:`popinv.observation_files.first_lines`). The user must then state its meaning.
An empty cell, ``NA`` and ``NaN`` are missing values. The columns of a table in memory have names.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from popinv.errors import DataError, nearest
from popinv.observation_files.first_lines import names_columns, refuse_places, refuse_split_numbers
from popinv.observation_files.table import Account, ObservationTable
from popinv.sections.tables import (
    TextTable,
    cells_as_numbers,
    is_missing,
    is_number,
    place_in,
)
from popinv.sections.units import columns_called, name_and_unit

if TYPE_CHECKING:
    import pandas as pd

_SHOWN = 5
_NAMES_OF_SYSTEMS = (
    " The key 'observations.system_column' names a column that holds the systems' names."
)


def wide_table(
    source: TextTable | pd.DataFrame,
    *,
    system_column: str | None = None,
    noise_scale_column: str | None = None,
    header: bool | None = None,
    others: Sequence[str] = (),
) -> tuple[ObservationTable, pd.DataFrame]:
    """Return the observations of a wide table, and the table in which ``others`` are text.

    Parameters
    ----------
    source : TextTable or DataFrame
        The table of a file, or one of text in memory.
    system_column, noise_scale_column : str, optional
        Columns that hold the systems' names and noise scales.
    header : bool, optional
        Whether the first line of a file is skipped, as it holds names, places or times. None skips
        it if a column is named or the line holds no number.
    others : sequence of str
        Further columns that do not hold observations.

    Raises
    ------
    DataError
        If a first line of numbers looks like places or times and ``header`` is None; if lines
        differ in length; if a cell is neither a number nor missing (with line and column); or if a
        named column does not exist. The message does not name the file.
    """
    stated = {"system_column": system_column, "noise_scale_column": noise_scale_column}
    special = {key: name for key, name in stated.items() if name is not None}
    if isinstance(source, TextTable):
        if not source.lines:
            raise DataError("holds no line of values, and so no observations")
        names, words = source.cells(0, 1)[0], "the first line names"
    else:
        names, words = list(source.columns), "the columns are"
    at = {key: _place(name, key, names, words) for key, name in special.items()}
    skipped = {_place(name, "ignored_columns", names, words) for name in others}
    system, scale = at.get("system_column"), at.get("noise_scale_column")
    hint = _NAMES_OF_SYSTEMS if system is None else ""
    if isinstance(source, TextTable):
        titled = source.names_columns or _is_titled(source, header, named=bool(at or skipped))
        frame = source.frame(titled, skipped.union(() if system is None else (system,)), hint)
        labels = [f" ({name})" if titled and name else "" for name in names]
        columns = [f"column {j + 1}{label}" for j, label in enumerate(labels)]
    else:
        titled, frame, columns = True, source, [f"column '{name}'" for name in names]
    rows = [place_in(frame, row) for row in range(len(frame))]

    def numbers(j: int) -> np.ndarray:
        column = frame.iloc[:, j]
        if column.dtype == float:
            return column.to_numpy()
        return cells_as_numbers(column.tolist(), rows, columns[j], "" if j else hint)

    observed = [j for j in range(len(names)) if j not in skipped.union(at.values())]
    own = [names[j] for j in observed]
    values = np.empty((len(frame), len(observed)), order="F")
    for i, j in enumerate(observed):
        values[:, i] = numbers(j)
    table = ObservationTable(
        values,
        rows=rows,
        columns=[columns[j] for j in observed],
        noise_scale=None if scale is None else numbers(scale),
        system_ids=None if system is None else frame.iloc[:, system].to_numpy(dtype=np.str_),
        names=_different(own, observed) if titled else None,
        units=[name_and_unit(name)[1] for name in own] if titled else (),
        account=Account(int(np.count_nonzero(~np.isnan(values)))),
    )
    return table, frame


def _is_titled(table: TextTable, header: bool | None, named: bool) -> bool:
    """Return whether the first line of a CSV file is skipped, where this is clear."""
    if header is None:
        header = named or names_columns(table)
        if not header:
            refuse_places(table)
    if not header:
        refuse_split_numbers(table)
    return header


def _place(name: str, key: str, names: list[str], words: str) -> int:
    """Return the place of a column by its name, with or without its unit."""
    found = columns_called(names, name)
    places = [i for i, cell in enumerate(names) if cell in found]
    if len(places) == 1:
        return places[0]
    if places:
        raise DataError(f"{len(places)} columns are called '{name}' (observations.{key})")
    if all(is_number(cell) or is_missing(cell) for cell in names):
        raise DataError(
            f"there is no column '{name}' (observations.{key}): the first line holds no names"
        )
    shown = ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
    raise DataError(
        f"there is no column '{name}' (observations.{key}); {words} {shown}.{nearest(name, names)}"
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


def refuse_counted_rows(frame: pd.DataFrame, titled: bool) -> None:
    """Refuse a first column that counts the rows without a name, and would count as observations.

    Parameters
    ----------
    titled : bool
        Whether the first line is skipped.

    Raises
    ------
    DataError
        The message does not name the file.
    """
    first = frame.iloc[:, 0].tolist()
    counts = [str(i) for i in range(len(first) + 1)]
    if len(first) < 2 or frame.shape[1] < 2 or first not in (counts[:-1], counts[1:]):
        return
    if not (titled and frame.columns[0]):
        raise DataError(
            "the first column counts the rows; leave it out, or give it a name in the first line"
        )
