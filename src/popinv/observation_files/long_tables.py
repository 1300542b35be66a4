"""Long tables: one row for each observation, with columns for system, time and value.

Systems may be observed at times of their own. The forward model gives the observations at all
times of the study, and a time at which a system was not observed is a missing value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from popinv.errors import DataError, nearest
from popinv.observation_files.column_units import refuse_mixed_units
from popinv.observation_files.doubtful_cells import alike
from popinv.observation_files.groups import members_of
from popinv.observation_files.known_columns import (
    known_columns,
    source_columns,
    unused_columns,
)
from popinv.observation_files.limits import (
    limits_of_marks,
    marked_limits,
    read_limits,
    shared_limits,
)
from popinv.observation_files.replicates import places_in_turn
from popinv.observation_files.stand_ins import STAND_INS
from popinv.observation_files.table import Account, ObservationTable
from popinv.sections.messages import shown
from popinv.sections.tables import (
    is_missing,
    marked_numbers_of,
    named_column,
    nearest_time,
    numbers_of,
    place_in,
    same_time,
    stated_times,
    times_of,
)
from popinv.sections.units import columns_named, name_and_unit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from popinv.forward.base import Observations
    from popinv.observation_files.section import FileObservations
    from popinv.observation_files.timed_inputs import SystemInputs


_SHOWN = 8


def read_long(
    frame: pd.DataFrame,
    section: FileObservations,
    observations: Observations,
    design: Sequence[str] = (),
    covariates: Sequence[str] = (),
    levels: Sequence[str] = (),
    timed: SystemInputs | None = None,
    centres: Sequence[float] | None = None,
) -> ObservationTable:
    """Return the observations of a long table.

    Rows without a value are missing observations, as rows that are not there.

    Parameters
    ----------
    frame : DataFrame
        A table of text.
    section : FileObservations
        The columns and how they are read.
    observations : Observations
        What the forward model gives: the times, and the labels of quantities if there are several.
    design, covariates : sequence of str
        Columns that hold the known quantities of each system.
    levels : sequence of str
        Columns that name the levels of the study, from outer to inner. Each combination of labels
        is then a system.
    timed : SystemInputs, optional
        Inputs over time, whose numbers are entries of ``design``.
    centres : sequence of float, optional
        As for :func:`popinv.observation_files.known_columns.known_columns`.

    Returns
    -------
    ObservationTable
        With a row for each system, in the order of the file. NaN where a system was not observed.
        Replicates are side by side.

    Raises
    ------
    DataError
        If a column lacks; if a time or a quantity is not one of the forward model's; if a system
        has two values of one time; or if a known quantity differs within a system. The message
        does not name the file.
    """
    system = named_column(frame, str(section.system_column), "observations.system_column")
    value = named_column(frame, str(section.value_column), "observations.value_column")
    account = Account(sum(not is_missing(cell) for cell in frame[value]))
    if timed is not None:
        frame, account = timed.observed(frame, value, account)
    for i in np.flatnonzero(frame[system] == "")[:1]:
        raise DataError(
            f"{place_in(frame, i)}: the system has no name in the column '{section.system_column}'"
        )
    names: Sequence[str] | pd.Index
    of_levels: np.ndarray | None = None
    row, names = pd.factorize(frame[system])
    if levels:
        row, names, of_levels = members_of(frame, levels, str(section.system_column))
    stand_ins = section.missing_values or ()
    # The study says where marks are: among the values themselves these are cells such as <0.4.
    in_cells = section.censoring_column == section.value_column
    if in_cells:
        values, marks = marked_numbers_of(frame, value)
    else:
        values = numbers_of(frame, value)
    missing = np.isin(values, stand_ins)
    values[missing] = np.nan
    seen = ~np.isnan(values)
    labels = section.label_column
    if labels is not None:
        labels = named_column(frame, labels, "observations.label_column")
    refuse_mixed_units(frame, seen, labels)
    account = account.without(STAND_INS, int(missing.sum()))
    cells: dict[str, list[str]] = {}
    if section.place_columns:
        place, cells = _own_places(frame, row, list(names), section, len(observations))
    else:
        place = _places(frame, seen, section, observations)
    slot = _slots(frame, row, place, seen, section)
    _refuse_second_values(frame, row, slot, place, seen, section, observations)
    count = int(slot.max(initial=0)) + 1

    def table_of(each: np.ndarray) -> np.ndarray:
        found = np.full((len(names), count, len(observations)), np.nan)
        found[row[seen], slot[seen], place[seen]] = each[seen]
        return found

    table, shifts = table_of(values), None
    if section.time_tolerance is not None:
        times = times_of(frame, named_column(frame, str(section.time_column), ""))
        shifts = table_of(times - observations.coordinates[place, -1]).reshape(len(names), -1)
    stated, shared = read_limits(frame, section.limit_columns, 1), True
    if in_cells:
        stated = limits_of_marks(values, marks, np.full(len(marks), np.nan))
    elif section.censoring_column is not None:
        stated = marked_limits(frame, values, section.censoring_column, section.limit_column)
    limits = {name: table_of(each.ravel()) for name, each in stated.items()}
    if section.censoring_column is not None:
        own = list(observations.labels) or [""] * len(observations)
        limits, shared = shared_limits(table, limits, own)
    if timed is not None:
        cells |= timed.cells(names, _last_times(frame, row, seen, len(names), section))
    of_columns = [name for name in (*design, *covariates) if name not in cells]
    constant, scale = source_columns(list(frame.columns), of_columns), section.noise_scale_column
    if scale is not None:
        scale = named_column(frame, scale, "observations.noise_scale_column")
        constant.append(scale)
    systems = rows_of_systems(frame, row, names, constant).assign(**cells)
    columns = [_where(observations, j) for j in range(len(observations))]
    used = [*section.named_columns, *constant, *(() if timed is None else timed.columns)]
    return ObservationTable(
        table.reshape(len(names), -1),
        rows=[f"system '{name}'" for name in names],
        columns=columns,
        noise_scale=None if scale is None else numbers_of(systems, scale, stand_ins),
        system_ids=np.array(names, dtype=np.str_),
        known=known_columns(systems, design, covariates, stand_ins, centres)
        if design or covariates
        else None,
        names=columns,
        units=[name_and_unit(value)[1]],
        replicate_count=count,
        time_shifts=shifts,
        limits={name: each.reshape(len(names), -1) for name, each in limits.items()},
        limits_shared=shared,
        labels=of_levels,
        unused=unused_columns(frame, row, columns_named(list(frame.columns), used)),
        account=account,
    )


def _last_times(
    frame: pd.DataFrame, row: np.ndarray, seen: np.ndarray, count: int, section: FileObservations
) -> np.ndarray | None:
    """Return the time of the last value of each system, NaN without one; None without times."""
    if section.time_column is None:
        return None
    times = times_of(frame, named_column(frame, section.time_column, "observations.time_column"))
    last = np.full(count, -np.inf)
    np.maximum.at(last, row[seen], times[seen])
    return np.where(np.isfinite(last), last, np.nan)


def _refuse_second_values(
    frame: pd.DataFrame,
    row: np.ndarray,
    slot: np.ndarray,
    place: np.ndarray,
    seen: np.ndarray,
    section: FileObservations,
    observations: Observations,
) -> None:
    """Refuse two values of one system at one time, unless they are replicates."""
    held = np.flatnonzero(seen)
    for i in held[places_in_turn(np.column_stack([row, slot, place])[held]) > 0][:1]:
        system = frame[named_column(frame, str(section.system_column), "")].iloc[i]
        if section.replicate_column is not None:
            replicate = frame[named_column(frame, section.replicate_column, "")].iloc[i]
            advice = f" of the replicate '{replicate}' ('observations.replicate_column')"
        else:
            advice = (
                "; each system is observed once at each time. If the values are replicates, state "
                "the column that tells them apart ('observations.replicate_column'), or "
                "'observations.replicates: rows'"
            )
        if section.time_tolerance is not None:
            advice += ", or take a finer 'grid' of times"
        where = _where(observations, place[i])
        raise DataError(
            f"{place_in(frame, i)}: system '{system}' has a second value at {where}{advice}"
        )


def _places(
    frame: pd.DataFrame, seen: np.ndarray, section: FileObservations, observations: Observations
) -> np.ndarray:
    """Return the observation of each row of a table, (n,), where a value was ``seen``."""
    fits = np.ones((len(frame), len(observations)), dtype=bool)
    time_column, label_column = section.time_column, section.label_column
    if time_column is not None:
        fits &= _at_times(frame, seen, observations, time_column, section.time_tolerance)
    if label_column is not None:
        fits &= _of_labels(frame, seen, observations, label_column)
    counts = fits.sum(axis=1)
    for row in np.flatnonzero(seen & (counts == 0))[:1]:
        raise DataError(
            f"{place_in(frame, row)}: the forward model does not observe "
            f"'{frame[label_column].iloc[row]}' at {frame[time_column].iloc[row]}"
        )
    for row in np.flatnonzero(seen & (counts > 1))[:1]:
        raise DataError(
            f"{place_in(frame, row)} fits {counts[row]} observations of the forward model; name "
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
    for row in np.flatnonzero(seen & np.isnan(held))[:1]:
        raise DataError(f"{place_in(frame, row)} has a value, but no time in the column '{column}'")
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
            f"{place_in(frame, row)}: the forward model has no observation with the label "
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
    section: FileObservations,
) -> np.ndarray:
    """Return the number of the replicate (n,) that each row belongs to, from 0 in each system."""
    slot = np.zeros(len(row), dtype=np.int64)
    if (column := section.replicate_column) is not None:
        column = named_column(frame, column, "observations.replicate_column")
        cells = frame[column]
        for i in np.flatnonzero(seen & (cells == ""))[:1]:
            raise DataError(
                f"{place_in(frame, i)} has a value, but no replicate in the column '{column}'"
            )
        if (found := alike(cells.tolist())) is not None:
            one, other = (place_in(frame, i) for i in found[:2])
            raise DataError(f"{one} and {other} name the replicates {found[2]}")
        slot[seen] = _ranks(row[seen], pd.factorize(cells)[0][seen][:, None])
    elif section.replicated:
        slot[seen] = places_in_turn(np.column_stack([row, place])[seen])
    return slot


def place_names(axes: int, sensors: int) -> list[list[str]]:
    """Return the names of the design's entries: for each axis, the names of all sensors.

    Examples
    --------
    >>> place_names(2, 3)
    [['x_1', 'x_2', 'x_3'], ['y_1', 'y_2', 'y_3']]
    """
    return [[f"{axis}_{j}" for j in range(1, sensors + 1)] for axis in ("x", "y")[:axes]]


def _own_places(
    frame: pd.DataFrame,
    row: np.ndarray,
    names: Sequence[str],
    section: FileObservations,
    sensors: int,
) -> tuple[np.ndarray, dict[str, list[str]]]:
    """Return the sensor of each row of a table, (n,), and cells of the places of the sensors.

    The rows of a system, in the order of the file, are its sensors 1, 2, ...; the columns of places
    give the entries ``x_1``, ``x_2``, ... of its design. A system with fewer rows than sensors has
    missing observations, and the place of such a sensor, which nothing depends on, is the mean of
    all places.

    Replicates of a system have the same sensors. The different places of its rows, in the order of
    the file, are then its sensors.

    Returns
    -------
    ndarray of int, shape (n,)
    dict of str to list of str
        Cells for each system, by the name of the design's entry.
    """
    columns = section.place_columns
    places = np.empty((len(frame), len(columns)))
    for axis, column in enumerate(columns):
        key = "observations.place_columns"
        places[:, axis] = numbers_of(frame, named_column(frame, column, key))
        for i in np.flatnonzero(np.isnan(places[:, axis]))[:1]:
            raise DataError(f"{place_in(frame, i)} has no place in the column '{column}'")
    rank = _ranks(row, places) if section.replicated else places_in_turn(row)
    for i in np.flatnonzero(rank >= sensors)[:1]:
        count = int(rank[row == row[i]].max()) + 1
        what = "different places" if section.replicated else "observations"
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


def _ranks(row: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """Return which of its system's different keys (n, k) each row has, in order of the file."""
    each = pd.factorize(pd.MultiIndex.from_arrays([row, *keys.T]))[0]
    first = pd.Series(each).drop_duplicates().index
    rank = np.empty(len(first), dtype=np.int64)
    rank[each[first]] = places_in_turn(row[first])
    return rank[each]


def rows_of_systems(
    frame: pd.DataFrame, row: np.ndarray, names: Sequence[str] | pd.Index, columns: Sequence[str]
) -> pd.DataFrame:
    """Return the first row of each system, where columns are constant within each system.

    An empty cell says nothing if another row of the system holds a value.

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
    systems = frame.iloc[first].copy()
    for column in columns:
        cells = frame[column].to_numpy(dtype=object)
        told = np.flatnonzero([not is_missing(cell) for cell in cells])
        having, at = np.unique(row[told], return_index=True)
        of_systems = systems[column].to_numpy(dtype=object).copy()
        of_systems[having] = cells[told[at]]
        systems[column], held = of_systems, of_systems[row]
        differs = np.zeros(len(cells), dtype=bool)
        differs[told] = (cells != held)[told] & ~_equal(cells[told], held[told])
        for i in np.flatnonzero(differs)[:1]:
            raise DataError(
                f"{place_in(frame, i)}: the column '{column}' of system '{names[row[i]]}' holds "
                f"{held[i]!r} and {cells[i]!r}, but what is known of a system is one value, in all "
                "its replicates. If this differs between them, take each replicate for a system of "
                "its own"
            )
    return systems


def _equal(cells: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return which cells hold the same number, or the same text."""
    return np.array([_meaning(a) == _meaning(b) for a, b in zip(cells, others, strict=True)])


def _meaning(cell: str) -> float | str:
    try:
        return float(cell)
    except ValueError:
        return cell
