"""What the first line of a CSV file holds: names of columns, places or times, or a system.

A line without a number holds names, as does one with text above columns of numbers.

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

from popinv.errors import DataError
from popinv.sections.tables import TextTable, advice_on, is_missing, is_number

# This many decimal places hardly all begin with another digit than zero.
_WITHOUT_ZEROS = 100
_WHOLE = frozenset('+-0123456789," ')
# Number of lines below the first that are compared.
LINES_BELOW = 1000
_RARE = 1 / 50
# A trait of fewer numbers carries no information.
_FEWEST = 3
# Tolerance for an even spacing after rounding, relative to the span of the numbers.
_ROUNDING = 1e-6
_NOT_DIGITS = re.compile(r"[eE].*|\D")


def names_columns(table: TextTable) -> bool:
    """Return whether a first line names columns.

    It does if it holds no number, or text above columns of numbers; the first thousand lines below
    are compared.
    """
    if table.names_columns or not table.lines:
        return table.names_columns
    cells = table.cells(0, 1)[0]
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
    below = table.cells(1, 1 + LINES_BELOW) if text else []
    return bool(below) and any(
        all(len(row) == len(cells) and is_number(row[i]) for row in below) for i in text
    )


def trait_of_places(table: TextTable) -> str | None:
    """Return the trait by which a first line of numbers looks like places or times, in words.

    It is None if the line names columns or could be a system.
    """
    # Names of systems may stand before or after the numbers.
    if not table.lines or not any(map(is_number, table.cells(0, 1)[0])) or names_columns(table):
        return None
    first, *below = table.cells(0, 1 + LINES_BELOW)
    return standing_out(first, below)


def refuse_places(table: TextTable) -> None:
    """Refuse a first line of numbers that looks like places or times.

    Raises
    ------
    DataError
        With the trait, and the key that says what the line is.
    """
    if (trait := trait_of_places(table)) is None:
        return
    first = table.cells(0, 1)[0]
    shown = ", ".join(first[:4]) + (", ..." if len(first) > 4 else "")
    raise DataError(
        f"line {table.numbers[0]} ({shown}) looks like places or times above the systems: its "
        f"numbers {trait}, unlike the numbers of the lines below. Set 'observations.header': true "
        "leaves the line out, false reads it as a system."
    )


def refuse_split_numbers(table: TextTable) -> None:
    """Refuse rows of whole numbers that may be numbers with decimal commas between commas.

    Raises
    ------
    DataError
        With both readings of the first line.
    """
    line = table.lines[0]
    # Most tables hold other signs in their first line.
    if table.mark != "," or (first := line.count(",")) % 2 == 0 or set(line) - _WHOLE:
        return
    rows = [row.replace('"', "").replace(" ", "").split(",") for row in table.lines]
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
            f"line {table.numbers[0]} ({shown[:40]}{'...' if len(shown) > 40 else ''}) holds "
            f"{first + 1} whole numbers, or {count} with decimal commas, as every line. Write "
            f"decimal points, or name the {first + 1} columns in a first line"
        )


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
