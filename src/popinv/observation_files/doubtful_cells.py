"""Cells that keep a column from being read as what it is, for messages that say so."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from popinv.observation_files.column_traits import ColumnTraits, increases_within
from popinv.sections.tables import is_missing, is_number

__all__ = ["mixed_cells", "other_dates", "systems_with_gaps", "title_above", "words_for_text"]

_OTHER_DATE = re.compile(r"\d{1,2}([./-])\d{1,2}\1(\d{4}|\d{2})( .*)?")
# A column with fewer different numbers may hold categories.
_DIFFERENT = 8


def mixed_cells(column: ColumnTraits) -> str | None:
    """Return which cells of a column of numbers are text, in words; None if it is no such column.

    Most cells of such a column are numbers, and they differ as measurements do.
    """
    if column.numbers is not None or column.dates:
        return None
    counts = np.bincount(column.codes, minlength=len(column.levels))
    numbers = [is_number(level) and not is_missing(level) for level in column.levels]
    text = [not (is_number(level) or is_missing(level)) for level in column.levels]
    if sum(numbers) < _DIFFERENT or counts[numbers].sum() <= counts[text].sum():
        return None
    shown = [f"'{column.levels[i]}'" for i in np.flatnonzero(text)[:3]]
    row = int(np.flatnonzero(np.isin(column.codes, np.flatnonzero(text)))[0])
    count = int(counts[text].sum())
    return (
        f"the column '{column.name}' holds numbers, but text in {count} of {len(column.codes)} "
        f"rows ({', '.join(shown)}; the first in row {row + 1} below the names)"
    )


def other_dates(columns: Iterable[ColumnTraits]) -> str:
    """Return a sentence about columns of dates in another form than that which is read, or ""."""
    for column in columns:
        held = [level for level in column.levels if not is_missing(level)]
        if held and all(map(_OTHER_DATE.fullmatch, held)):
            return (
                f" The column '{column.name}' holds dates such as '{held[0]}'; only the form "
                "2024-03-01 is read as dates."
            )
    return ""


def systems_with_gaps(columns: Sequence[ColumnTraits]) -> str | None:
    """Return a message if a column names the systems of a long table, but not in all rows."""
    for first in columns:
        if not (first.gaps and first.named_like("system") and first.repeats):
            continue
        seen = np.array([not is_missing(level) for level in first.levels])[first.codes]
        system = replace(first, codes=first.codes[seen])
        for second in columns:
            if second is first or second.numbers is None or second.gaps:
                continue
            time = replace(second, numbers=second.numbers[seen], codes=second.codes[seen])
            if increases_within(time, system):
                row = int(np.flatnonzero(~seen)[0]) + 1
                return (
                    f"the column '{first.name}' seems to name the systems of a long table, but "
                    f"{first.gaps} of its cells are empty (first in row {row} below the names); "
                    "complete it, or state --layout wide if each row is a system"
                )
    return None


def title_above(names: Iterable[str]) -> bool:
    """Return whether a first line is a title: most of its cells are empty."""
    cells = list(names)
    return len(cells) > 2 and sum(cell == "" for cell in cells) > len(cells) / 2


def words_for_text(columns: Iterable[ColumnTraits]) -> str:
    """Return what columns of text hold, as a reason that there are no numbers, or ""."""
    held = [
        f"'{level}' ({column.name})"
        for column in columns
        if column.numbers is None
        for level in column.levels[:1]
        if any(sign.isdigit() for sign in level)
    ]
    if not held:
        return ""
    return (
        f"; numbers are written without other signs, such as 1000 or 0.5, but the columns hold "
        f"{', '.join(held[:4])}"
    )
