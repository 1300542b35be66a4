"""Cells that keep a column from being read as what it is, and rows that are no system.

Rows below a table may hold the total or the mean of the others. They are known by their name, or
by their numbers where no name of the same form as others stands before them.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from popinv.errors import DataError
from popinv.observation_files.columns import ColumnTraits, increases_within
from popinv.sections.tables import advice_on, are_categories, is_missing, is_number, limit_of

_OTHER_DATE = re.compile(r"\d{1,2}([./-])\d{1,2}\1(\d{4}|\d{2})( .*)?")
# A column with fewer different numbers may hold categories.
_DIFFERENT = 8
# Characters of a cell that are shown.
_LONGEST = 40
# Names of rows that sum up the others, in lower case and without marks. Names of the second
# kind may be abbreviations of places, and count in the last rows alone.
_SUMS = "total totals subtotal grandtotal sum mean means average averages avg median std stdev"
_SUMS += " stddev standarddeviation variance summe gesamt mittelwert mittel moyenne"
# Limits of detection and quantification.
_SUMS += " lod loq lloq uloq lodloq detectionlimit quantificationlimit"
_LAST_SUMS = "sd se sem cv var rsd min max minimum maximum range iqr n count all overall"
_AGGREGATES = frozenset(_SUMS.split())
_LAST_AGGREGATES = _AGGREGATES.union(_LAST_SUMS.split())
# Rows that may stand below a table, and systems that make the numbers of one of them evident.
_BELOW, _FEWEST = 4, 4
# Largest difference from the mean, as a share of the distance of the quartiles of the others: of
# one column, of several.
_NEAR_ALONE, _NEAR = 1e-4, 5e-3
# Sums may be rounded. Few columns show most rows to be systems.
_NEAR_SUM, _QUICK = 1e-5, 8


def mixed_cells(column: ColumnTraits) -> str | None:
    """Return which cells of a column of numbers are text, in words; None if it is no such column.

    Most cells of such a column are numbers, and they differ as measurements do.
    """
    if (kinds := _Kinds.of(column)) is None:
        return None
    text = ~kinds.numbers & ~kinds.missing
    if kinds.numbers.sum() < _DIFFERENT or kinds.rows(kinds.numbers) <= kinds.rows(text):
        return None
    infinite = all(is_number(column.levels[i]) for i in np.flatnonzero(text))
    return (
        f"the column '{column.name}' holds numbers, but {'infinity' if infinite else 'text'} in "
        f"{_where(column, text)}"
    )


def limits_in_cells(columns: Iterable[ColumnTraits]) -> str | None:
    """Return which cells hold limits, such as <0.4, and what to write; None if none does.

    The other cells of their columns are numbers or missing.
    """
    told, limits = list[str](), dict[str, set[float]]()
    for column in columns:
        if (kinds := _Kinds.of(column)) is None:
            continue
        found = {i: limit for i, cell in enumerate(column.levels) if (limit := limit_of(cell))}
        held = np.isin(np.arange(len(column.levels)), list(found))
        if not found or not (held | kinds.numbers | kinds.missing).all():
            continue
        if are_categories(column.levels):
            continue
        told.append(f"the column '{column.name}' holds limits in {_where(column, held)}")
        for key, number in found.values():
            limits.setdefault(key, set()).add(number)
    if not told:
        return None
    more = f" ({len(told) - 1} more columns hold limits)" if len(told) > 1 else ""
    several = any(len(each) > 1 for each in limits.values())
    write = "the limit itself in these cells" + (
        ", put the limit of every row into a column of its own," if several else ""
    )
    lines = [
        f"    {key}: " + ("{column: NAME OF THIS COLUMN}" if len(each) > 1 else f"{each.pop():g}")
        for key, each in sorted(limits.items())
    ]
    return (
        f"{told[0]}{more}. A marked value is only known to lie beyond its limit. Write "
        f"{write} and state in the study:\n  observations:\n" + "\n".join(lines)
    )


def marked_cells(column: ColumnTraits) -> str | None:
    """Return which cells of a column are numbers with marks, in sentences; None if it is no such.

    Most cells of such a column are numbers, or would be without the marks.
    """
    if (kinds := _Kinds.of(column)) is None:
        return None
    infinite = np.array([is_number(level) for level in column.levels])
    infinite &= ~kinds.numbers & ~kinds.missing
    marked = infinite | np.array([bool(advice_on(level)) for level in column.levels])
    others = ~(kinds.numbers | marked | kinds.missing)
    if not marked.any() or kinds.rows(kinds.numbers | marked) <= kinds.rows(others):
        return None
    first = column.levels[int(np.flatnonzero(marked)[0])]
    return (
        f"the column '{column.name}' holds numbers with other signs in {_where(column, marked)}. "
        + (advice_on(first) or "Every number must be finite.")
    )


@dataclass(frozen=True)
class _Kinds:
    """Which of the different cells of a column are finite numbers, and which are missing."""

    numbers: np.ndarray
    missing: np.ndarray
    counts: np.ndarray

    @classmethod
    def of(cls, column: ColumnTraits) -> _Kinds | None:
        """Return the kinds of cells of a column of text, None for numbers and dates."""
        if column.numbers is not None or column.dates:
            return None
        return cls(
            np.array(
                [is_number(cell) and bool(np.isfinite(float(cell))) for cell in column.levels]
            ),
            np.array([is_missing(cell) for cell in column.levels]),
            np.bincount(column.codes, minlength=len(column.levels)),
        )

    def rows(self, levels: np.ndarray) -> int:
        """Return the number of rows that hold some of the different cells."""
        return int(self.counts[levels].sum())


def _where(column: ColumnTraits, levels: np.ndarray) -> str:
    """Return in which rows some different cells of a column occur, in words."""
    rows = np.isin(column.codes, np.flatnonzero(levels))
    shown = ", ".join(f"'{_short(column.levels[i])}'" for i in np.flatnonzero(levels)[:3])
    return (
        f"{rows.sum()} of {len(rows)} rows ({shown}; the first in row "
        f"{np.flatnonzero(rows)[0] + 1} below the names)"
    )


def _short(cell: str) -> str:
    return cell if len(cell) <= _LONGEST else f"{cell[:_LONGEST]}..."


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


def dose_rows(columns: Sequence[ColumnTraits]) -> np.ndarray | None:
    """Return which rows of a table (n,) are doses, and no observations; None if none is.

    A column such as EVID marks them, or one such as AMT holds the dose, and a column of numbers is
    empty in all of them.

    Raises
    ------
    DataError
        If a column such as EVID marks rows in which no column of numbers is empty.
    """
    events = [each for each in columns if each.named_like("event") and each.numbers is not None]
    amounts = [each for each in columns if each.named_like("dose") and each.numbers is not None]
    for marks in (events, amounts):
        dosed = [np.nan_to_num(c.numbers) != 0 for c in marks if c.numbers is not None]
        rows = np.logical_or.reduce(dosed) if dosed else np.zeros(0, dtype=bool)
        if not rows.any() or rows.all():
            continue
        for each in columns:
            gaps = np.ones(0) if each.numbers is None else np.isnan(each.numbers)
            if each not in (*events, *amounts) and len(gaps) and gaps[rows].all():
                return rows
        if marks is events:
            raise DataError(
                f"the column '{marks[0].name}' marks {rows.sum()} of {len(rows)} rows as doses or "
                "other events (first in row "
                f"{np.flatnonzero(rows)[0] + 1} below the names), but they hold numbers in every "
                "column. Leave the cells of the observed quantity empty there, or remove the "
                f"column '{marks[0].name}' if the rows are observations"
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


def alike(names: Sequence[str]) -> tuple[int, int, str] | None:
    """Return the places of two names that differ only by what cannot be seen, and a sentence.

    These are characters without width, kinds of space, control characters and the two spellings
    that Unicode has for a letter with an accent.
    """
    seen: dict[str, int] = {}
    for place, name in enumerate(names):
        # Most names are plain, and looking them up is quick.
        plain = name.isalnum() and name.isascii()
        first = seen.setdefault(name if plain else _visible(name), place)
        if names[first] != name:
            words = (
                f"{names[first]!a} and {name!a}, which look the same. Write them alike "
                "if they are one, and make them differ by a letter or digit if they are two"
            )
            return first, place, words
    return None


def _visible(name: str) -> str:
    shown = (" " if sign.isspace() else sign for sign in unicodedata.normalize("NFC", name))
    kept = "".join(sign for sign in shown if unicodedata.category(sign) not in ("Cc", "Cf"))
    return " ".join(kept.split())


def aggregate_row(values: np.ndarray, names: Sequence[str] | None) -> tuple[int, str] | None:
    """Return the row of a table (n, d) that sums up others, and why it seems so; None if none does.

    Parameters
    ----------
    values : ndarray of shape (n, d)
        NaN where a value is missing.
    names : sequence of str, length n, optional
    """
    if names is not None:
        words = [re.sub(r"[^a-z0-9]", "", name.casefold()) for name in names]
        last = (i for i, word in enumerate(reversed(words)) if word not in _LAST_AGGREGATES)
        below = next(last, len(words))
        for row, word in enumerate(words):
            if word in _AGGREGATES or (row >= len(words) - below and below < len(words)):
                return row, f"is called '{names[row]}'"
    for row, others in _candidates(len(values)):
        if names is not None and _has_a_form(names, row):
            continue
        held = np.flatnonzero(np.isfinite(values[row]))
        if _sums_up(values[row, held[:_QUICK]], values[others, held[:_QUICK]]) is None:
            continue
        if told := _sums_up(values[row, held], values[others, held]):
            return row, f"holds the {told} of the other rows"
    return None


def _candidates(count: int) -> list[tuple[int, slice]]:
    """Return the rows that may sum up others, with those others."""
    if count <= _FEWEST:
        return []
    below = range(count - 1, max(count - 1 - _BELOW, _FEWEST - 1), -1)
    return [*((row, slice(0, row)) for row in below), (0, slice(1, None))]


def _has_a_form(names: Sequence[str], row: int) -> bool:
    """Return whether a name is one of a series, such as s12 among s1, s2, ..."""

    def form(name: str) -> str:
        return re.sub(r"\d+", "0", name)

    own = form(names[row])
    return "0" in own and sum(form(name) == own for name in names) > 1


def _sums_up(row: np.ndarray, others: np.ndarray) -> str | None:
    """Return which sum or mean of others a row holds in all of its columns, or None."""
    seen = np.isfinite(others)
    if not len(row) or seen.sum(axis=0).min() < _FEWEST:
        return None
    with np.errstate(over="ignore"):
        total, size = np.nansum(others, axis=0), np.nansum(np.abs(others), axis=0)
        # A few values far away do not widen the distance of the quartiles.
        spread = np.diff(np.nanquantile(others, [0.25, 0.75], axis=0), axis=0)[0]
    mean = total / seen.sum(axis=0)
    if not (np.all(spread > 0) and np.isfinite(size).all()):
        return None
    # Small whole numbers agree by chance.
    whole = bool(np.all(others[seen] % 1 == 0) and np.all(row % 1 == 0))
    if whole and len(row) < _FEWEST:
        return None
    outside = np.abs(row) > np.nanmax(np.abs(others), axis=0)
    if np.all(np.abs(row - total) <= _NEAR_SUM * size) and outside.all():
        return "sums"
    near = _NEAR if len(row) > 1 else _NEAR_ALONE
    return "means" if np.all(np.abs(row - mean) <= near * spread) else None
