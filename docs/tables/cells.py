"""Cells and lines of tables."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from popinv_papers.kit.claims import Measured, measured
from tables.kept import FOLDER

__all__ = [
    "interval",
    "line",
    "mean_of",
    "measured_rows",
    "measured_table",
    "number",
    "ratio_of",
    "recorded",
    "span",
    "table",
]


def measured_rows(name: str) -> list[Mapping[str, str]]:
    """Return the rows of a measured file."""
    with (FOLDER / f"{name}.csv").open(newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


def line(cells: Sequence[str]) -> str:
    """Return a line of a table."""
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield the lines of a table."""
    yield line(heads)
    yield line(["---"] * len(heads))
    yield from map(line, rows)


def recorded(rows: Sequence[Mapping[str, str]]) -> str:
    """Return the commits and the machines of measured rows, as text within a sentence."""
    commits, machines = (sorted({row[key] for row in rows}) for key in ("commit", "machine"))
    return f"{', '.join(commits)} on {', '.join(machines)}"


def measured_table(name: str, heads: Mapping[str, str] | None = None) -> Iterator[str]:
    """Yield columns of a measured file, each with its head in the table, and its record.

    Without heads, these are all columns but the record's, by their names.
    """
    rows = measured_rows(name)
    if heads is None:
        heads = {key: key for key in rows[0] if key not in ("commit", "machine")}
    yield from table(list(heads.values()), [[row[key] for key in heads] for row in rows])
    yield from ("", f"*Recorded at {recorded(rows)}.*")


def number(value: object, digits: int = 2) -> str:
    """Return a number with some digits, or a text as it is."""
    if isinstance(value, bool | int):
        return f"{value:,}"
    if not isinstance(value, float):
        return str(value)
    return f"{value:.{digits}g}" if abs(value) < 10**digits else f"{value:,.0f}"


def interval(found: Measured, digits: int = 2) -> str:
    """Return a mean with its interval; an exact one has none."""
    if not found.seeds:
        return number(found.mean, digits)
    low, high = (number(end, digits) for end in (found.low, found.high))
    return f"{number(found.mean, digits)} ({low} to {high})"


def mean_of(values: Sequence[float], digits: int = 2) -> str:
    """Return the mean over seeds with its 95 % interval, or the range of fewer than five."""
    if len(values) < 5:
        return span(values, digits)
    return interval(measured(values), digits)


def ratio_of(values: Sequence[float], digits: int = 2) -> str:
    """Return the geometric mean over seeds with its 95 % interval, or the range of fewer."""
    if len(values) < 5:
        return span(values, digits)
    found = measured(np.log(values))
    return interval(
        Measured(*(float(np.exp(x)) for x in (found.mean, found.low, found.high)), found.seeds),
        digits,
    )


def span(values: Sequence[float], digits: int = 2) -> str:
    """Return the range of values, or the only one."""
    low, high = (number(end, digits) for end in (min(values), max(values)))
    return low if low == high else f"{low} to {high}"
