"""Numbers that stand for missing values, such as -999.

Such a number is suspected where it is one that files commonly use (nines, eights or sevens, -9, a
high power of ten, the limits of integers and of floating-point numbers, the fill values of NetCDF),
occurs several times in a table or is very large, and lies further from the other values of its
column than these lie from each other.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from popinv.observation_files.table import ObservationTable

STAND_INS = "that stand for missing values"
"""Why values are not used, after their number."""

# Numbers with the digits that four bytes hold.
_POWER = re.compile(r"1e\+\d+")
_REPEATED = re.compile(r"9{2,}|8{2,}|7{2,}")
_FILLS: tuple[float, ...] = (9.969209968386869e36, 32768, 32767, 65535)
_FILLS += (2147483648, 2147483647, 4294967295)
_FILLS += (float(np.finfo(np.float32).max), float(np.finfo(np.float64).max))
_SIZES = frozenset(f"{size:.7g}" for size in _FILLS)
# The only number of one digit.
_NINE = -9.0
# A single value may be an outlier, unless it is very large.
_FEWEST, _LARGE = 2, 1e8


@dataclass(frozen=True)
class StandIn:
    """A number that may stand for a missing value.

    Parameters
    ----------
    column : str
        Where it occurs, in words.
    count : int
        How often.
    """

    column: str
    number: float
    count: int


def stand_ins_of(values: np.ndarray) -> list[tuple[float, int]]:
    """Return the numbers of a column that may stand for missing values, and how often each occurs.

    Parameters
    ----------
    values : ndarray of shape (n,)
        NaN where a value is missing.

    Returns
    -------
    list of (float, int)

    Examples
    --------
    >>> stand_ins_of(np.array([1.5, -999, 2.5, -999])), stand_ins_of(np.array([900, 950, 999, 999]))
    ([(-999.0, 2)], [])
    """
    different, counts = np.unique(values[np.isfinite(values)], return_counts=True)
    # They lie on both sides of the others, and one of them does not make another one ordinary.
    low, high = 0, len(different)
    while low < high and _is_common(different[low]):
        low += 1
    while high > low and _is_common(different[high - 1]):
        high -= 1
    if low == high:
        return []
    least, most = different[low], different[high - 1]
    distance = np.maximum(least - different, different - most)
    return [(float(different[i]), int(counts[i])) for i in np.flatnonzero(distance > most - least)]


def _is_common(number: float) -> bool:
    """Return whether files commonly use a number, or its negative, for a missing value."""
    text = f"{abs(number):.7g}"
    if text in _SIZES or number == _NINE:
        return True
    if _POWER.fullmatch(text):
        return float(text) >= _LARGE
    digits = text.replace(".", "")
    return bool(_REPEATED.fullmatch(digits)) and len(digits) > 1 + ("." in text)


def stand_ins_in(columns: Sequence[str], table: Sequence[np.ndarray]) -> list[StandIn]:
    """Return the numbers that may stand for missing values, by column.

    Parameters
    ----------
    columns : sequence of str
        The columns in words.
    table : sequence of ndarray of shape (n,)
        Their values, NaN where one is missing.
    """
    found = [
        StandIn(column, *suspect)
        for column, values in zip(columns, table, strict=True)
        for suspect in stand_ins_of(values)
    ]
    often = Counter[float]()
    for each in found:
        often[each.number] += each.count
    return [each for each in found if often[each.number] >= _FEWEST or abs(each.number) >= _LARGE]


def without_stand_ins(table: ObservationTable, numbers: Sequence[float]) -> ObservationTable:
    """Return a table in which some numbers are missing values.

    Parameters
    ----------
    numbers : sequence of float
    """
    scale, found = table.noise_scale, np.isin(table.values, numbers)
    return replace(
        table,
        values=np.where(found, np.nan, table.values),
        account=table.account.without(STAND_INS, int(found.sum())),
        noise_scale=None if scale is None else np.where(np.isin(scale, numbers), np.nan, scale),
    )
