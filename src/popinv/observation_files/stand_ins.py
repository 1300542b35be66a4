"""Numbers that stand for missing values, such as -999.

Such a number is suspected where it is one that files commonly use (nines, or the lowest integer of
two bytes), occurs several times in a table, and lies further from the other values of its column
than these lie from each other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from popinv.observation_files.table import ObservationTable

__all__ = ["StandIn", "stand_in_of", "stand_ins_in", "without_stand_ins"]

_NINES = [float("9" * digits) for digits in range(2, 8)]
_COMMON = np.array([*_NINES, *(-each for each in _NINES), -32768.0])
# A single value may be an outlier.
_FEWEST = 2


@dataclass(frozen=True)
class StandIn:
    """A number that may stand for a missing value.

    Parameters
    ----------
    column : str
        Where it occurs, in words.
    number : float
    count : int
        How often.
    """

    column: str
    number: float
    count: int


def stand_in_of(values: np.ndarray) -> tuple[float, int] | None:
    """Return the number of a column that may stand for a missing value, and how often it occurs.

    Parameters
    ----------
    values : ndarray of shape (n,)
        NaN where a value is missing.

    Returns
    -------
    (float, int) or None

    Examples
    --------
    >>> stand_in_of(np.array([1.5, -999, 2.5, -999])), stand_in_of(np.array([990.0, 999, 999]))
    ((-999.0, 2), None)
    """
    seen = values[np.isfinite(values)]
    for number in _COMMON[np.isin(_COMMON, seen)]:
        others = seen[seen != number]
        # Another such number does not make this one ordinary.
        ordinary = others[~np.isin(others, _COMMON)]
        if len(ordinary) and np.abs(ordinary - number).min() > np.ptp(ordinary):
            return float(number), len(seen) - len(others)
    return None


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
        if (suspect := stand_in_of(values)) is not None
    ]
    often = Counter[float]()
    for each in found:
        often[each.number] += each.count
    return [each for each in found if often[each.number] >= _FEWEST]


def without_stand_ins(table: ObservationTable, numbers: Sequence[float]) -> ObservationTable:
    """Return a table in which some numbers are missing values.

    Parameters
    ----------
    table : ObservationTable
    numbers : sequence of float
    """
    scale = table.noise_scale
    return replace(
        table,
        values=np.where(np.isin(table.values, numbers), np.nan, table.values),
        noise_scale=None if scale is None else np.where(np.isin(scale, numbers), np.nan, scale),
    )
