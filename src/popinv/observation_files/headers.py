"""Decide whether a first line of numbers holds places or times rather than a system.

A line of numbers above the systems may be a system, or may give the place or time of each column.
It counts as places or times if it has a trait that fewer than one in fifty of the lines below have:

- its numbers are sorted, upwards or downwards;
- they are evenly spaced, or each is the same multiple of the one before;
- they repeat, as times do that are listed again for every place;
- the longest number has at most half as many digits.

If the first line were a system like the others, each trait would mark it in fewer than one file in
fifty (or in one of n files of n lines, if there are fewer lines).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

# Number of lines below the first that are compared.
LINES_BELOW = 1000
_RARE = 1 / 50
# A trait of fewer numbers carries no information.
_FEWEST = 3
# Tolerance for an even spacing after rounding, relative to the span of the numbers.
_ROUNDING = 1e-6
_NOT_DIGITS = re.compile(r"[eE].*|\D")


def standing_out(first: Sequence[str], below: Sequence[Sequence[str]]) -> str | None:
    """Return the trait by which a first line of numbers looks like places or times.

    Parameters
    ----------
    first : sequence of str
        The cells of the first line. Cells without a number are skipped.
    below : sequence of sequence of str
        The cells of the lines below. The first thousand are compared.

    Returns
    -------
    str or None
        The trait in words, or None if the line could be a system or no line lies below it.
    """
    below = [cells for cells in below[:LINES_BELOW] if len(cells) == len(first)]
    columns = [i for i, cell in enumerate(first) if np.isfinite(_number(cell))]
    if not below or not columns:
        return None
    lines = [[cells[i] for i in columns] for cells in (first, *below)]
    table = np.array([[_number(cell) for cell in line] for line in lines])
    traits = [] if len(columns) < _FEWEST else _traits_of_numbers(table)
    for words, has in traits:
        if has[0] and has[1:].mean() < _RARE:
            return words
    digits = [max(map(_digits, line)) for line in lines]
    if 2 * max(1, digits[0]) <= np.quantile(digits[1:], _RARE, method="lower"):
        return "have few digits"
    return None


def _traits_of_numbers(table: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """Return the traits in words, and which rows of a table (n, d) have them."""
    period = _period(table[0])
    block = table[:, :period]
    # A missing or infinite number below has no trait.
    with np.errstate(invalid="ignore", divide="ignore"):
        repeats = np.all(table == np.tile(block, table.shape[1] // period), axis=1)
        varied = repeats & (np.ptp(block, axis=1) > 0)
        steps = np.diff(block, axis=1)
        even = _arithmetic(block) | _arithmetic(np.log(block))
    return [
        ("repeat", varied & (period < table.shape[1])),
        ("are spaced evenly", varied & even & (period >= _FEWEST)),
        ("are sorted", varied & np.all(steps >= 0, axis=1)),
        ("are sorted", varied & np.all(steps <= 0, axis=1)),
    ]


def _period(row: np.ndarray) -> int:
    """Return the length of the shortest block that a row (n,) repeats."""
    count = len(row)
    return next(
        t for t in range(1, count + 1) if count % t == 0 and np.all(row.reshape(-1, t) == row[:t])
    )


def _arithmetic(rows: np.ndarray) -> np.ndarray:
    """Return which rows (n, t) have steps of one size."""
    steps = np.diff(rows, axis=1)
    span = np.abs(rows[:, -1] - rows[:, 0])
    return np.all(np.abs(steps - steps[:, :1]) <= _ROUNDING * span[:, None], axis=1)


def _digits(cell: str) -> int:
    """Return the number of digits of a number, without zeros at both ends."""
    return len(_NOT_DIGITS.sub("", cell).strip("0"))


def _number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return np.nan
