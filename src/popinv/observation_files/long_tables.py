"""Long tables: one row for each observation, with columns for system, time and value.

Systems may be observed at times of their own. The forward model gives the observations at all
times of the study, and a time at which a system was not observed is a missing value.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from popinv.errors import DataError, nearest
from popinv.observation_files.doubtful_cells import alike
from popinv.observation_files.known_columns import known_columns, source_columns
from popinv.observation_files.limits import marked_limits, read_limits, shared_limits
from popinv.observation_files.replicates import places_in_turn
from popinv.observation_files.table import ObservationTable
from popinv.sections.messages import shown
from popinv.sections.tables import (
    is_missing,
    named_column,
    nearest_time,
    numbers_of,
    read_frame,
    same_time,
    stated_times,
    times_of,
)
from popinv.sections.units import name_and_unit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from popinv.forward.base import Observations


_SHOWN = 8


def read_long(
    file: Path | pd.DataFrame,
    observations: Observations,
    *,
    system_column: str,
    value_column: str,
    time_column: str | None = None,
    label_column: str | None = None,
    noise_scale_column: str | None = None,
    place_columns: Sequence[str] = (),
    replicate_column: str | None = None,
    replicates: bool = False,
    time_tolerance: float | None = None,
    design: Sequence[str] = (),
    covariates: Sequence[str] = (),
    stand_ins: Sequence[float] = (),
    limits: Mapping[str, Sequence[str]] | None = None,
    censoring_column: str | None = None,
    limit_column: str | None = None,
) -> ObservationTable:
    """Read a long table.

    Rows without a value are missing observations, as rows that are not there.

    Parameters
    ----------
    file : Path or DataFrame
        The file, or a table of text as :func:`~popinv.sections.tables.read_frame` returns it.
    observations : Observations
        What the forward model gives: the times, and the labels of quantities if there are several.
    system_column, value_column, time_column, label_column, noise_scale_column : str
        Columns of the system, the observed value, its time, its quantity, and the system's noise
        scale.
    place_columns : sequence of str
        Columns of the places, if each system has observations at places of its own; see
        `popinv.observation_files.own_places`.
    replicate_column : str, optional
        Column that tells the replicates of a system apart.
    replicates : bool
        Whether a system may have several values of a time and quantity.
    time_tolerance : float, optional
        By how much a time may differ from the nearest one of the forward model.
    design, covariates : sequence of str
        Columns that hold the known quantities of each system.
    stand_ins : sequence of float
        Numbers that stand for a missing value.
    limits : mapping of str to sequence of str, optional
        The column of each key of limits.
    censoring_column, limit_column : str, optional
        Columns that mark censored values, and what these are known not to lie beyond.

    Returns
    -------
    ObservationTable
        With a row for each system, in the order of the file. NaN where a system was not observed.
        Replicates are side by side.

    Raises
    ------
    DataError
        If the file cannot be read; if a column lacks; if a time or a quantity is not one of the
        forward model's; if a system has two values of one time; or if a known quantity differs
        within a system. The message does not name the file.
    """
    frame = file if isinstance(file, pd.DataFrame) else read_frame(file)
    system = named_column(frame, system_column, "observations.system_column")
    value = named_column(frame, value_column, "observations.value_column")
    for line in frame.index[frame[system] == ""][:1]:
        raise DataError(f"line {line}: the system has no name in the column '{system}'")
    row, names = pd.factorize(frame[system])
    values = numbers_of(frame, value, stand_ins)
    seen = ~np.isnan(values)
    cells: dict[str, list[str]] = {}
    if place_columns:
        # Imported here, since few studies need it.
        from popinv.observation_files.own_places import own_places

        replicated = replicates or replicate_column is not None
        place, cells = own_places(
            frame, row, list(names), place_columns, len(observations), replicated
        )
    else:
        place = _places(frame, seen, observations, time_column, label_column, time_tolerance)
    if replicate_column is not None:
        replicate_column = named_column(frame, replicate_column, "observations.replicate_column")
    slot = _slots(frame, row, place, seen, replicate_column, replicates)
    count = int(slot.max(initial=0)) + 1
    table = np.full((len(names), count, len(observations)), np.nan)
    rounded = time_tolerance is not None and time_column is not None
    shifts = np.full_like(table, np.nan) if rounded else None
    times = times_of(frame, named_column(frame, str(time_column), "")) if rounded else None
    for i in np.flatnonzero(~np.isnan(values)).tolist():
        if not np.isnan(table[row[i], slot[i], place[i]]):
            raise DataError(
                f"line {frame.index[i]}: system '{names[row[i]]}' has a second value at "
                f"{_where(observations, place[i])}{_of_replicate(frame, i, replicate_column)}"
                + (", or take a finer 'grid' of times" if rounded else "")
            )
        table[row[i], slot[i], place[i]] = values[i]
        if shifts is not None and times is not None:
            at = observations.coordinates[place[i], -1]
            shifts[row[i], slot[i], place[i]] = times[i] - at
    stated, shared = read_limits(frame, limits or {}, 1), True
    if censoring_column is not None:
        stated = marked_limits(frame, values, censoring_column, limit_column)
    for name, each in stated.items():
        stated[name] = np.full_like(table, np.nan)
        stated[name][row[seen], slot[seen], place[seen]] = each.reshape(-1)[seen]
    if censoring_column is not None:
        labels = list(observations.labels) or [""] * len(observations)
        stated, shared = shared_limits(table, stated, labels)
    of_columns = [name for name in (*design, *covariates) if name not in cells]
    constant = source_columns(list(frame.columns), of_columns)
    if noise_scale_column is not None:
        key = "observations.noise_scale_column"
        noise_scale_column = named_column(frame, noise_scale_column, key)
        constant.append(noise_scale_column)
    systems = rows_of_systems(frame, row, names, constant).assign(**cells)
    known = known_columns(systems, design, covariates, stand_ins) if design or covariates else None
    scale = (
        None if noise_scale_column is None else numbers_of(systems, noise_scale_column, stand_ins)
    )
    columns = [_where(observations, j) for j in range(len(observations))]
    return ObservationTable(
        table.reshape(len(names), -1),
        rows=[f"system '{name}'" for name in names],
        columns=columns,
        noise_scale=scale,
        system_ids=np.array(names, dtype=np.str_),
        known=known,
        names=columns,
        units=[name_and_unit(value)[1]],
        replicate_count=count,
        time_shifts=None if shifts is None else shifts.reshape(len(names), -1),
        limits={name: each.reshape(len(names), -1) for name, each in stated.items()},
        limits_shared=shared,
    )


def _places(
    frame: pd.DataFrame,
    seen: np.ndarray,
    observations: Observations,
    time_column: str | None,
    label_column: str | None,
    tolerance: float | None,
) -> np.ndarray:
    """Return the observation of each row of a table, (n,), where a value was ``seen``."""
    fits = np.ones((len(frame), len(observations)), dtype=bool)
    if time_column is not None:
        fits &= _at_times(frame, seen, observations, time_column, tolerance)
    if label_column is not None:
        fits &= _of_labels(frame, seen, observations, label_column)
    counts = fits.sum(axis=1)
    for row in np.flatnonzero(seen & (counts == 0))[:1]:
        raise DataError(
            f"line {frame.index[row]}: the forward model does not observe "
            f"'{frame[label_column].iloc[row]}' at {frame[time_column].iloc[row]}"
        )
    for row in np.flatnonzero(seen & (counts > 1))[:1]:
        raise DataError(
            f"line {frame.index[row]} fits {counts[row]} observations of the forward model; name "
            "the columns that tell them apart in 'observations.time_column' and "
            "'observations.label_column', and the quantities in 'forward.observations.labels'"
        )
    return fits.argmax(axis=1)


def _at_times(
    frame: pd.DataFrame,
    seen: np.ndarray,
    observations: Observations,
    column: str,
    tolerance: float | None,
) -> np.ndarray:
    """Return which observations (n, d_y) are at the time of each row."""
    held = stated_times(frame, named_column(frame, column, "observations.time_column"))
    if observations.time_count is None:
        raise DataError(
            f"the forward model's observations have no times, but 'time_column' is '{column}'; "
            f"take them from the file with 'forward.observations.times: {{file: ..., column: "
            f"{column}}}', or leave 'time_column' out"
        )
    for line in frame.index[seen & np.isnan(held)][:1]:
        raise DataError(f"line {line} has a value, but no time in the column '{column}'")
    own = observations.coordinates[:, -1]
    if tolerance is None:
        same = np.abs(held[:, None] - own) <= same_time(own)
    else:
        places = np.unique(own)
        nearest_place = places[nearest_time(held, places)]
        near = np.abs(held - nearest_place) <= tolerance + same_time(own)
        same = (nearest_place[:, None] == own) & near[:, None]
    if lost := sorted({float(held[i]) for i in np.flatnonzero(seen & ~same.any(axis=1))}):
        more = f" and {len(lost) - _SHOWN} more" if len(lost) > _SHOWN else ""
        raise DataError(
            f"the forward model is not observed at the times {shown(lost[:_SHOWN])}{more} of the "
            f"file; take them from it with 'forward.observations.times: {{file: ..., column: "
            f"{column}}}'"
            + (
                ", or round them with 'observations.time_tolerance'"
                if tolerance is None
                else f" and a 'grid', or raise 'observations.time_tolerance' ({tolerance:g})"
            )
        )
    return same


def _of_labels(
    frame: pd.DataFrame, seen: np.ndarray, observations: Observations, column: str
) -> np.ndarray:
    """Return which observations (n, d_y) have the label of each row."""
    name = named_column(frame, column, "observations.label_column")
    labels = frame[name].to_numpy(dtype=object)
    own = list(map(str, observations.labels))
    same = labels[:, None] == np.array(own or [""], dtype=object)
    for row in np.flatnonzero(seen & ~same.any(axis=1))[:1]:
        has = f"its labels are {', '.join(dict.fromkeys(own))}" if own else "it has no labels"
        raise DataError(
            f"line {frame.index[row]}: the forward model has no observation with the label "
            f"'{labels[row]}' of the column '{column}'; {has} (forward.observations.labels)."
            + nearest(labels[row], set(own))
        )
    return same


def _where(observations: Observations, j: int) -> str:
    parts = [str(observations.labels[j])] if observations.labels else []
    parts += [
        f"{name} = {value:g}"
        for name, value in zip(
            observations.coordinate_names, observations.coordinates[j], strict=True
        )
    ]
    return ", ".join(parts)


def _slots(
    frame: pd.DataFrame,
    row: np.ndarray,
    place: np.ndarray,
    seen: np.ndarray,
    column: str | None,
    replicates: bool,
) -> np.ndarray:
    """Return the number of the replicate (n,) that each row belongs to, from 0 in each system."""
    slot = np.zeros(len(row), dtype=np.int64)
    if column is not None:
        cells = frame[column]
        for line in frame.index[seen & (cells == "")][:1]:
            raise DataError(f"line {line} has a value, but no replicate in the column '{column}'")
        if (found := alike(cells.tolist())) is not None:
            one, other = (f"line {frame.index[place]}" for place in found[:2])
            raise DataError(f"{one} and {other} name the replicates {found[2]}")
        occasion = pd.factorize(cells)[0]
        pairs = pd.DataFrame({"system": row[seen], "occasion": occasion[seen]})
        first = pairs.drop_duplicates()
        number = first.groupby("system").cumcount().to_numpy()
        known = dict(zip(map(tuple, first.to_numpy().tolist()), number.tolist(), strict=True))
        slot[seen] = [known[pair] for pair in map(tuple, pairs.to_numpy().tolist())]
    elif replicates:
        slot[seen] = places_in_turn(np.column_stack([row, place])[seen])
    return slot


def _of_replicate(frame: pd.DataFrame, i: int, column: str | None) -> str:
    if column is not None:
        return f" of the replicate '{frame[column].iloc[i]}' ('observations.replicate_column')"
    return (
        "; each system is observed once at each time. If the values are replicates, state the "
        "column that tells them apart ('observations.replicate_column'), or "
        "'observations.replicates: rows'"
    )


def rows_of_systems(
    frame: pd.DataFrame, row: np.ndarray, names: Sequence[str] | pd.Index, columns: Sequence[str]
) -> pd.DataFrame:
    """Return the first row of each system, where columns are constant within each system.

    Parameters
    ----------
    frame : DataFrame
        A table of text.
    row : ndarray of int, shape (n,)
        The system of each row.
    names : sequence of str
        Names of the systems.
    columns : sequence of str
        The columns that must be constant.

    Raises
    ------
    DataError
        If a column is not. The message does not name the file.
    """
    first = np.unique(row, return_index=True)[1]
    systems = frame.iloc[first]
    for column in columns:
        cells = frame[column].to_numpy(dtype=object)
        held = systems[column].to_numpy(dtype=object)[row]
        for i in np.flatnonzero((cells != held) & ~_equal(cells, held))[:1]:
            raise DataError(
                f"line {frame.index[i]}: the column '{column}' of system '{names[row[i]]}' holds "
                f"{held[i]!r} and {cells[i]!r}, but what is known of a system is one value, in all "
                "its replicates. If this differs between them, take each replicate for a system of "
                "its own"
            )
    return systems


def _equal(cells: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return which cells hold the same number, or are both missing."""
    return np.array([_meaning(a) == _meaning(b) for a, b in zip(cells, others, strict=True)])


def _meaning(cell: str) -> float | str | None:
    if is_missing(cell):
        return None
    try:
        return float(cell)
    except ValueError:
        return cell
