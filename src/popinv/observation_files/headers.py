"""Whether a first line of numbers is one of places or times, and not a system.

A line of numbers above the systems may be a system, or say where or when the columns were observed.
It stands out as the latter where it has a trait that fewer than one in fifty of the lines below
have:

- its numbers are sorted, upwards or downwards;
- they are spaced evenly, or each is the same multiple of the one before;
- they repeat, as times do that stand there once for every place;
- the longest has at most half as many digits.

Were the first line a system like the others, each trait would single it out in fewer than one file
in fifty (or in one of n files of n lines, where these are fewer).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

__all__ = ["LINES_BELOW", "standing_out"]

# Lines below the first that are looked at.
LINES_BELOW = 1000
_RARE = 1 / 50
# A trait of fewer numbers says nothing.
_FEWEST = 3
# Of the span of the numbers: what rounding may leave of an even spacing.
_ROUNDING = 1e-6
_NOT_DIGITS = re.compile(r"[eE].*|\D")


def standing_out(first: Sequence[str], below: Sequence[Sequence[str]]) -> str | None:
    """Return by which trait a first line of numbers stands out as one of places or times.

    Parameters
    ----------
    first : sequence of str
        The cells of the first line. Those without a number are passed over.
    below : sequence of sequence of str
        The cells of the lines below, of which the first thousand are looked at.

    Returns
    -------
    str or None
        What its numbers are and those below are not, in words; None where it could be a system,
        or where nothing lies below.
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
    """Return traits in words, and which rows of a table (n, d) have them."""
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
    """Return how many digits a number is written with, zeros at both ends left out."""
    return len(_NOT_DIGITS.sub("", cell).strip("0"))


def _number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return np.nan
