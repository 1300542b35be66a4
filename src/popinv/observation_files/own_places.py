"""Places of observations that differ from system to system, in long tables.

The rows of a system, in the order of the file, are its sensors 1, 2, ...; the columns of places
give the entries ``x_1``, ``x_2``, ... of its design. A system with fewer rows than sensors has
missing observations, and the place of such a sensor, which nothing depends on, is the mean of all
places.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from popinv.errors import DataError
from popinv.sections.tables import named_column, numbers_of

__all__ = ["own_places", "place_names"]

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
    frame: pd.DataFrame, row: np.ndarray, names: Sequence[str], columns: Sequence[str], sensors: int
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

    Returns
    -------
    ndarray of int, shape (n,)
    dict of str to list of str
        Cells for each system, by the name of the design's entry.

    Raises
    ------
    DataError
        If a place is missing, or if a system has more rows than sensors. The message does not name
        the file.
    """
    rank = pd.Series(row).groupby(row).cumcount().to_numpy()
    for i in np.flatnonzero(rank >= sensors)[:1]:
        count = int((row == row[i]).sum())
        raise DataError(
            f"system '{names[row[i]]}' has {count} observations, but the study has {sensors} "
            f"sensors; set 'forward.sensors.count: {int(rank.max()) + 1}'"
        )
    cells: dict[str, list[str]] = {}
    for column, of_axis in zip(columns, place_names(len(columns), sensors), strict=True):
        places = numbers_of(frame, named_column(frame, column, _KEY))
        for line in frame.index[np.isnan(places)][:1]:
            raise DataError(f"line {line} has no place in the column '{column}'")
        table = np.full((len(names), sensors), places.mean())
        table[row, rank] = places
        for j, name in enumerate(of_axis):
            cells[name] = [repr(float(place)) for place in table[:, j]]
    return rank, cells
