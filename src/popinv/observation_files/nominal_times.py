"""Nominal times, to which the many times of a long table are rounded.

Systems are observed densely where they change quickly. So an observation at t may be rounded by a
share s of h, the time to the nearest other observation of its system. A nominal time c stands for
it if

    |t - c| <= s h.

For a given s, the fewest times that stand for all observations are found in one pass: they are the
points that meet all intervals [t - s h, t + s h], taken in the order of their ends.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from popinv.sections.tables import nearest_time

# Steps of bisection, and the factor by which its share is raised: at the share itself
# some interval is a single point, which is a number with many digits.
_STEPS, _SLACK = 20, 1.02
# Digits that a nominal time may need.
_DIGITS = range(-12, 16)


@dataclass(frozen=True)
class NominalTimes:
    """Times that stand for those of a table.

    Parameters
    ----------
    times : tuple of float
        In increasing order, each with as few digits as possible.
    share : float
        The largest rounding, as a share of the time to the nearest other observation of the system.
    tolerance : float
        The largest rounding, rounded upwards, in the unit of the times.
    """

    times: tuple[float, ...]
    share: float
    tolerance: float


def nominal_times(
    times: np.ndarray,
    systems: Iterable[Hashable],
    *,
    most: int | None = None,
    share: float = 0.0,
) -> NominalTimes:
    """Return few times that stand for the times of a table.

    Parameters
    ----------
    times : ndarray of shape (n,)
        The time of each observation.
    systems : iterable of n names
        Its system. Observations of a system at one time are one.
    most : int, optional
        The number of nominal times. Their share is then as small as possible.
    share : float
        The share of the time to the next observation, where ``most`` is not stated.

    Examples
    --------
    >>> found = nominal_times(np.array([0.0, 1.02, 2.0, 0.0, 0.97, 2.1]), "aaabbb", most=3)
    >>> found.times
    (0.0, 1.0, 2.046)
    """
    at, near = _distances(times, systems)
    if most is not None:
        low, high = 0.0, 1.0
        while len(_cover(at, near, high)) > most:
            low, high = high, 2 * high
        for _ in range(_STEPS):
            middle = (low + high) / 2
            low, high = (low, middle) if len(_cover(at, near, middle)) <= most else (middle, high)
        share = _SLACK * high
    found = np.array([_short(left, right) for left, right in _cover(at, near, share)])
    moved = np.abs(at - found[nearest_time(at, found)])
    largest = float(moved.max())
    return NominalTimes(
        tuple(map(float, found)),
        float((moved / near).max()),
        float(f"{1.005 * largest:.3g}"),
    )


def _distances(times: np.ndarray, systems: Iterable[Hashable]) -> tuple[np.ndarray, np.ndarray]:
    """Return the different times of each system, and the distance to the nearest other one."""
    held = pd.DataFrame({"system": list(systems), "time": times}).drop_duplicates()
    held = held.sort_values(["system", "time"])
    at = held["time"].to_numpy(dtype=float)
    same = held["system"].to_numpy()[1:] == held["system"].to_numpy()[:-1]
    steps = np.where(same, np.diff(at), np.inf)
    near = np.minimum(np.append(steps, np.inf), np.insert(steps, 0, np.inf))
    # A system that was observed once has no scale of its own.
    usual = np.median(near[np.isfinite(near)]) if np.isfinite(near).any() else 1.0
    return at, np.where(np.isfinite(near), near, usual)


def _cover(at: np.ndarray, near: np.ndarray, share: float) -> list[tuple[float, float]]:
    """Return the parts of the line that lie in all intervals of a group, for the fewest groups."""
    lefts, rights = at - share * near, at + share * near
    found = list[tuple[float, float]]()
    for i in np.argsort(rights, kind="stable"):
        left, right = lefts[i], rights[i]
        if found and left <= found[-1][1]:
            found[-1] = max(found[-1][0], left), found[-1][1]
        else:
            found.append((left, right))
    return found


def _short(left: float, right: float) -> float:
    """Return the number with the fewest digits in an interval, near its middle."""
    middle = (left + right) / 2
    for digits in _DIGITS:
        if left <= (number := round(middle, digits)) <= right:
            return number
    return middle
