"""Systems that the user names: by their names in the file, or by their numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import numpy as np
from pydantic import Field

from popinv.errors import DataError, nearest
from popinv.sections.base import CountOrZero

SystemName = CountOrZero | Annotated[str, Field(min_length=1)]
"""A system's name, or its number."""

WITHOUT = (
    "Systems that have withdrawn: their names or, without names, their numbers in "
    "`observations.zarr.zip`, from 0. They are used nowhere.\n\n"
    "The numbers count the systems before any was left out."
)


FEWEST_TESTED = 4
"""Fewer systems are not left out of refits, nor compared with each other."""


def rows_of_systems(
    asked: Sequence[int | str], names: Sequence[str] | np.ndarray | None, count: int
) -> np.ndarray:
    """Return the numbers of the systems, in the order in which they are named.

    Parameters
    ----------
    asked : sequence of int or str
        Names where the systems have names (17 is then the system '17'), and otherwise numbers.
    names : sequence of str, length ``count``, optional
    count : int
        Number of systems.

    Raises
    ------
    DataError
        If there is no such system, or if one is named twice.

    Examples
    --------
    >>> rows_of_systems([2, "0"], None, 3)
    array([2, 0])
    >>> rows_of_systems(["b", 17], ["a", "17", "b"], 3)
    array([2, 1])
    """
    # Numbers need no table: there may be millions of systems.
    known = [] if names is None else [str(name) for name in names]
    places = {name: row for row, name in enumerate(known)}
    rows = []
    for name in map(str, asked):
        if names is None and name.isdecimal() and str(int(name)) == name and int(name) < count:
            rows.append(int(name))
        elif name in places:
            rows.append(places[name])
        else:
            allowed = (
                f"the {count} systems have the numbers from 0 to {count - 1}"
                if names is None
                else f"the {count} systems have names, such as '{known[0]}' and '{known[-1]}'"
            )
            raise DataError(
                f"got '{name}', but there is no such system; {allowed}."
                + (nearest(name, known) if names is not None else "")
            )
    if len(set(rows)) < len(rows):
        raise DataError(f"got {list(asked)}, but each system is named once.")
    return np.array(rows, dtype=int)


def systems_left(
    withdrawn: Sequence[int | str], names: Sequence[str] | np.ndarray | None, count: int
) -> np.ndarray:
    """Return the numbers of the systems that are left when some have withdrawn.

    The arguments are the arguments of :func:`rows_of_systems`.

    Raises
    ------
    DataError
        As :func:`rows_of_systems`, or if fewer than two systems are left.
    """
    left = np.delete(np.arange(count), rows_of_systems(withdrawn, names, count))
    if withdrawn and len(left) < 2:
        raise DataError(
            f"got {len(withdrawn)} of {count} systems, but at least 2 must be left to learn from."
        )
    return left
