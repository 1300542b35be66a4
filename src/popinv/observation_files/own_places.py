"""Places of observations that differ from system to system, in long tables.

The rows of a system, in the order of the file, are its sensors 1, 2, ...; the columns of places
give the entries ``x_1``, ``x_2``, ... of its design. A system with fewer rows than sensors has
missing observations, and the place of such a sensor, which nothing depends on, is the mean of all
places.

Replicates of a system have the same sensors. The different places of its rows, in the order of the
file, are then its sensors.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from popinv.errors import DataError
from popinv.observation_files.replicates import places_in_turn
from popinv.sections.tables import named_column, numbers_of

_KEY = "observations.place_columns"


def place_names(axes: int, sensors: int) -> list[list[str]]:
    """Return the names of the design's entries, for each axis those of all sensors.

    Examples
    --------
    >>> place_names(2, 3)
    [['x_1', 'x_2', 'x_3'], ['y_1', 'y_2', 'y_3']]
    """
    return [[f"{axis}_{j}" for j in range(1, sensors + 1)] for axis in ("x", "y")[:axes]]


def own_places(
    frame: pd.DataFrame,
    row: np.ndarray,
    names: Sequence[str],
    columns: Sequence[str],
    sensors: int,
    replicated: bool = False,
) -> tuple[np.ndarray, dict[str, list[str]]]:
    """Return the sensor of each row of a table, and the places of each system's sensors.

    Parameters
    ----------
    frame : DataFrame
        The table, one observation a row.
    row : ndarray of int, shape (n,)
        The system of each row.
    names : sequence of str
        Names of the systems.
    columns : sequence of str
        Columns of the places, one for each axis.
    sensors : int
        Number of sensors of a system.
    replicated : bool
        Whether a system may have several rows of one sensor.

    Returns
    -------
    ndarray of int, shape (n,)
    dict of str to list of str
        Cells for each system, by the name of the design's entry.

    Raises
    ------
    DataError
        If a place is missing, or if a system has more rows, or different places of replicates, than
        sensors. The message does not name the file.
    """
    places = np.empty((len(frame), len(columns)))
    for axis, column in enumerate(columns):
        places[:, axis] = numbers_of(frame, named_column(frame, column, _KEY))
        for line in frame.index[np.isnan(places[:, axis])][:1]:
            raise DataError(f"line {line} has no place in the column '{column}'")
    rank = _ranks(row, places) if replicated else places_in_turn(row)
    for i in np.flatnonzero(rank >= sensors)[:1]:
        count = int(rank[row == row[i]].max()) + 1
        what = "different places" if replicated else "observations"
        raise DataError(
            f"system '{names[row[i]]}' has {count} {what}, but the study has {sensors} "
            f"sensors; set 'forward.sensors.count: {int(rank.max()) + 1}'"
        )
    cells: dict[str, list[str]] = {}
    for axis, of_axis in enumerate(place_names(len(columns), sensors)):
        table = np.full((len(names), sensors), places[:, axis].mean())
        table[row, rank] = places[:, axis]
        for j, name in enumerate(of_axis):
            cells[name] = [repr(float(place)) for place in table[:, j]]
    return rank, cells


def _ranks(row: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Return which of its system's different places each row (n,) is at, in order of the file."""
    each = pd.factorize(pd.MultiIndex.from_arrays([row, *places.T]))[0]
    first = pd.Series(each).drop_duplicates().index
    rank = np.empty(len(first), dtype=np.int64)
    rank[each[first]] = places_in_turn(row[first])
    return rank[each]
