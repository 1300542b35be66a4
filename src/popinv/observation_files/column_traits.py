"""Traits of the columns of a table, from which the use of each of them is guessed."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from popinv.errors import DataError
from popinv.sections.tables import is_dates, is_missing, times_of

if TYPE_CHECKING:
    import pandas as pd


# Usual names, in lower case and without marks.
_SYSTEMS = "id subject subjectid patient patientid person individual participant animal mouse rat"
_SYSTEMS += " chick tree plant plot site station catchment well specimen sample system unit case"
_SYSTEMS += " sensor device battery cell engine vehicle key name"
_TIMES = "time times t day days date dates datetime timestamp hour hours hr hrs h minute minutes"
_TIMES += " min mins second seconds sec s week weeks month months year years age visit step cycle"
_VALUES = "value values y dv obs observed observation observations measured measurement response"
_VALUES += " result reading concentration conc"
_REPLICATES = "replicate replicates rep reps repeat repeats repetition repl"
# They may be times as well.
_OCCASIONS = "run occasion trial session test measurement"
_USUAL = {
    "system": _SYSTEMS,
    "time": _TIMES,
    "value": _VALUES,
    "replicate": _REPLICATES,
    "occasion": _OCCASIONS,
}


@dataclass(frozen=True)
class ColumnTraits:
    """The contents of a column.

    Parameters
    ----------
    numbers : ndarray of shape (n,), optional
        Its numbers, or its dates as days, NaN where missing; None for text.
    codes : ndarray of int, shape (n,)
        The number of each row's cell among the different cells.
    levels : tuple of str
        The different cells, in the order of the file.
    gaps : int
        Number of missing cells.
    """

    name: str
    numbers: np.ndarray | None
    dates: bool
    codes: np.ndarray
    levels: tuple[str, ...]
    gaps: int

    @property
    def repeats(self) -> bool:
        """True if it has several different cells, and fewer than two thirds as many as rows."""
        return 1 < len(self.levels) <= len(self.codes) / 1.5

    @property
    def whole(self) -> bool:
        """True if it holds whole numbers."""
        held = self.numbers
        return held is not None and not self.dates and bool(np.all(held % 1 == 0))

    @property
    def counts_rows(self) -> bool:
        """True if it holds 0, 1, 2, ... or 1, 2, 3, ..."""
        held = self.numbers
        if held is None or self.dates or len(held) < 2:
            return False
        return held[0] in (0, 1) and bool(np.all(np.diff(held) == 1))

    @property
    def runs(self) -> bool:
        """True if equal cells are side by side."""
        return int(np.count_nonzero(np.diff(self.codes))) == len(self.levels) - 1

    def named_like(self, use: str) -> bool:
        """Return whether its name is usual for a use.

        Parameters
        ----------
        use : {"system", "time", "value", "replicate", "occasion"}
        """
        usual = _USUAL[use].split()
        # A unit may follow, in brackets or after a mark.
        name = re.sub(r"[(\[].*", "", self.name).strip()
        words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
        parts = re.split(r"[^A-Za-z]+", words.lower())
        whole = "".join(parts)
        endings = {"system": ("id", "no", "nr"), "time": ("time", "date")}.get(use, ())
        return whole in usual or parts[0] in usual or (len(parts) > 1 and parts[-1] in endings)


def column_traits(frame: pd.DataFrame) -> list[ColumnTraits]:
    """Return the traits of each column of a table of text.

    Parameters
    ----------
    frame : DataFrame
        As :func:`popinv.sections.tables.read_frame` returns it.
    """
    import pandas as pd  # slow to import

    found = []
    for place, name in enumerate(frame.columns):
        column = frame.iloc[:, [place]]
        cells = column.iloc[:, 0].tolist()
        gaps = sum(map(is_missing, cells))
        held: np.ndarray | None = None
        with contextlib.suppress(DataError):
            held = times_of(column, name) if gaps < len(cells) else None
        codes, levels = pd.factorize(column.iloc[:, 0])
        found.append(
            ColumnTraits(str(name), held, is_dates(cells), codes, tuple(map(str, levels)), gaps)
        )
    return found


def increases_within(time: ColumnTraits, *groups: ColumnTraits) -> bool:
    """Return whether numbers increase from row to row within each group, and start again.

    Numbers that increase over the whole table name or count its rows, so they do not.
    """
    held = time.numbers
    if held is None or time.gaps or np.all(np.diff(held) > 0):
        return False
    order, same = _by_group(groups)
    return bool(np.all(np.diff(held[order])[same] > 0))


def counts_within(column: ColumnTraits, *groups: ColumnTraits) -> bool:
    """Return whether a column counts the rows of each group."""
    held = column.numbers
    if held is None or column.gaps or column.dates:
        return False
    order, same = _by_group(groups)
    starts = held[order][np.concatenate([[True], ~same])]
    return bool(np.all(np.diff(held[order])[same] == 1) and set(starts) <= {0.0, 1.0})


def constant_within(column: ColumnTraits, *groups: ColumnTraits) -> bool:
    """Return whether a column holds one cell in each group."""
    order, same = _by_group(groups)
    return bool(np.all(np.diff(column.codes[order])[same] == 0))


def _by_group(groups: tuple[ColumnTraits, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows in order of their group, and which share it with the row before."""
    # The sort is stable: rows of a group keep their order.
    order = np.lexsort([group.codes for group in groups])
    steps = [np.diff(group.codes[order]) == 0 for group in groups]
    return order, np.logical_and.reduce(steps)
