r"""Replicates: several observation vectors of one system, with the same parameters.

The replicate r of system n is

.. math:: y^{(n,r)} = G(z^{(n)}) + s_n\, \xi^{(n,r)}, \qquad r = 1, \dots, R_n,

with noise that is independent between replicates and of the same law. The observation of the system
is all of them side by side, and a system with fewer than R = max R_n has missing values at the end.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from popinv.errors import DataError
from popinv.observation_files.doubtful_cells import alike
from popinv.observation_files.table import ObservationTable
from popinv.sections.tables import place_in


def places_in_turn(keys: np.ndarray) -> np.ndarray:
    """Return how many earlier rows have the same key, shape (n,).

    Parameters
    ----------
    keys : ndarray of shape (n,) or (n, k)

    Examples
    --------
    >>> places_in_turn(np.array([7, 3, 7, 7, 3])).tolist()
    [0, 0, 1, 2, 1]
    """
    frame = pd.DataFrame(keys[:, None] if keys.ndim == 1 else keys)
    return frame.groupby(list(frame.columns), sort=False).cumcount().to_numpy()


def check_occasions(frame: pd.DataFrame, system: str, replicate: str) -> None:
    """Check that no system has the same replicate twice.

    Parameters
    ----------
    frame : DataFrame
        A table of text.
    system, replicate : str
        Columns of it.

    Raises
    ------
    DataError
        With the line, the system and the replicate. The message does not name the file.
    """
    systems, occasions = (frame[name].to_numpy(dtype=str) for name in (system, replicate))
    for i in np.flatnonzero(occasions == "")[:1]:
        raise DataError(f"{place_in(frame, i)}: the replicate of system '{systems[i]}' has no name")
    if (found := alike(occasions.tolist())) is not None:
        one, other = (place_in(frame, i) for i in found[:2])
        raise DataError(f"{one} and {other} name the replicates {found[2]}")
    turns = places_in_turn(np.column_stack([systems, occasions]))
    for i in np.flatnonzero(turns)[:1]:
        raise DataError(
            f"{place_in(frame, i)}: system '{systems[i]}' has the replicate '{occasions[i]}' a "
            "second time; each row of a system needs a replicate of its own "
            "(observations.replicate_column)"
        )


def stacked(table: ObservationTable) -> ObservationTable:
    """Return a table in which the rows of one system stand side by side.

    Parameters
    ----------
    table : ObservationTable
        With the names of the systems. The systems keep the order of their first rows.

    Raises
    ------
    DataError
        If the systems have no names, or a system has several noise scales. The message does not
        name the file.
    """
    if table.system_ids is None:
        raise DataError(
            "the rows have no names of systems, so that replicates cannot be put together; name "
            "them in 'observations.system_column' (of NetCDF and zarr files, in a coordinate)"
        )
    system, ids = pd.factorize(table.system_ids)
    place = places_in_turn(system)
    count, width = int(place.max(initial=0)) + 1, table.values.shape[1]

    def side_by_side(each: np.ndarray) -> np.ndarray:
        found = np.full((len(ids), count, width), np.nan)
        found[system, place] = each
        return found.reshape(len(ids), -1)

    first = np.unique(system, return_index=True)[1]
    scale = None if table.noise_scale is None else table.noise_scale[first]
    if table.noise_scale is not None and scale is not None:
        for row in np.flatnonzero(table.noise_scale != scale[system])[:1]:
            raise DataError(
                f"{table.rows[row]}: system '{table.system_ids[row]}' has the noise scales "
                f"{scale[system[row]]:g} and {table.noise_scale[row]:g}, but all replicates of a "
                "system have one"
            )
    return replace(
        table,
        values=side_by_side(table.values),
        limits={name: side_by_side(each) for name, each in (table.limits or {}).items()},
        rows=[table.rows[row] for row in first],
        noise_scale=scale,
        system_ids=np.asarray(ids, dtype=np.str_),
        replicate_count=count,
    )
