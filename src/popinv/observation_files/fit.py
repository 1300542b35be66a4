"""Read the observations of a study, from its file or from memory, and check that they fit.

The table of a file and one in memory become the same table of text, and a NetCDF or zarr file and
a Dataset the same Dataset; what is made of these does not depend on where they come from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import pandas as pd

from popinv.errors import DataError
from popinv.forward.base import Observations
from popinv.observation_files.column_units import refuse_other_units, stated_units
from popinv.observation_files.files import check_exists, has_named_columns, named_in_errors
from popinv.observation_files.gridded_files import gridded_table, read_gridded, systems_frame
from popinv.observation_files.groups import grouped, members_of
from popinv.observation_files.known_columns import (
    known_columns,
    source_columns,
    unused_columns,
)
from popinv.observation_files.limit_keys import states_limits
from popinv.observation_files.limits import held_at_limits, read_limits
from popinv.observation_files.long_tables import read_long, rows_of_systems
from popinv.observation_files.replicates import check_occasions, stacked
from popinv.observation_files.section import FileObservations
from popinv.observation_files.stand_ins import stand_ins_in, without_stand_ins
from popinv.observation_files.table import (
    ObservationTable,
    check_account,
    check_columns,
    check_table,
)
from popinv.observation_files.timed_inputs import SystemInputs
from popinv.observation_files.trees import NO_LEVELS, LevelColumns, MemberTree
from popinv.observation_files.wide_tables import wide_table
from popinv.sections.messages import shown
from popinv.sections.tables import TextTable, is_dates, named_column, read_frame, read_text
from popinv.sections.units import columns_named, differing_units, name_and_unit

if TYPE_CHECKING:
    import xarray as xr

    from popinv.forward.inputs.section import Inputs

InMemory: TypeAlias = "pd.DataFrame | xr.Dataset"
"""Observations in memory: a table of text (:func:`popinv.sections.tables.text_frame`), or a Dataset
of the form of :mod:`popinv.observation_files.gridded_files`."""

IN_MEMORY = "data"
"""What messages call these."""

# The column that the labels of all levels make together.
_MEMBER = "labels of all levels"
_NO_UNITS: Mapping[str, str] = {}
# Variables of NetCDF and zarr files that have a meaning.
_OF_ARRAYS = ("system", "noise_scale")
# Fewer systems do not make a population.
_FEWEST_SYSTEMS = 4


def read_fitting(
    section: FileObservations,
    observations: Observations,
    design: Sequence[str] = (),
    covariates: Sequence[str] = (),
    given: InMemory | None = None,
    *,
    whole: bool = True,
    population: bool = True,
    levels: LevelColumns = NO_LEVELS,
    inputs: Inputs | None = None,
    centres: Sequence[float] | None = None,
    units: Mapping[str, str] = _NO_UNITS,
    tree: MemberTree | None = None,
) -> ObservationTable:
    """Read the file of a study's ``observations`` section, and check that it fits.

    Parameters
    ----------
    observations : Observations
        What the forward model gives.
    design, covariates : sequence of str
        Columns that hold what is known of each system.
    given : DataFrame or Dataset, optional
        The observations in memory, in the place of the file.
    whole : bool
        Whether these are all observations of the study. If they are a part, a sensor may have none.
    population : bool
        Whether the systems make a population of their own. If they join one, a single system is
        enough, and covariates may be the same in all.
    levels : LevelColumns
        Columns that name the levels at which parameters vary. The rows of the result are then
        groups (:mod:`popinv.observation_files.groups`).
    inputs : Inputs, optional
        Inputs over time. Their numbers are the last entries of ``design``.
    centres : sequence of float, optional
        What a finished study subtracted from its covariates, if these are new systems. They need be
        no population: one system suffices, and it may have no observation.
    units : mapping of str to str, optional
        The units of the columns of the study's own table, if these are new systems.
    tree : MemberTree, optional
        The tree of the groups that these join.

    Returns
    -------
    ObservationTable
        Values beyond a limit are at the limit, and the limits are of all values; the values are
        logarithms if those are observed, but not the limits.

    Raises
    ------
    DataError
        If the file cannot be read, holds something else than observations, has another number of
        columns (or times) than the forward model, another unit, or too few rows; if these are all
        observations, and a sensor has none. The message names the file, or calls what is in memory
        ``data``.
    """
    if given is None:
        check_exists(section.file)
    predicted = centres is not None
    joining = not (population or predicted)
    if not population:
        # Systems that join others have no means of their own.
        centres = [0.0] * len(covariates)
    with named_in_errors(section.file if given is None else IN_MEMORY):
        if section.layout == "long":
            frame = given if isinstance(given, pd.DataFrame) else read_frame(Path(section.file))
            held = stated_units(frame)
            refuse_other_units(held, units)
            if not whole:
                _refuse_dates(frame, section)
            timed = SystemInputs.beside(inputs, frame, whole, joining)
            of_long = design, covariates, levels.names, timed, centres
            table = read_long(frame, section, observations, *of_long)
            table = replace(table, column_units=held)
            check_table(table, mask_missing=True, population=not predicted)
        else:
            timed = SystemInputs.beside(inputs, None, whole, joining)
            of_wide = design, covariates, given, levels.names, timed, observations, centres
            table = read_wide(section, *of_wide, population=not predicted, units=units)
        fewest = _FEWEST_SYSTEMS if population and not predicted else 1
        _check_size(table, len(observations), observations.time_count, fewest)
        _check_units(table, observations, section.time_column)
        if whole:
            check_columns(table)
        if section.missing_values is None and not predicted:
            others = () if timed is None else timed.names
            _check_stand_ins(table, section.value_column, (*design, *covariates), others)
        check_account(table)
        if states_limits(section):
            table = held_at_limits(table, section, observations)
        if observations.logarithm:
            table = replace(table, values=_logarithms(table))
        if levels.names:
            table = grouped(
                table, levels, covariates, whole=population and not predicted, tree=tree
            )
    return table


def _refuse_dates(frame: pd.DataFrame, section: FileObservations) -> None:
    """Refuse dates of further systems, as times count from the first date of their own file."""
    if section.time_column is None:
        return
    column = named_column(frame, section.time_column, "observations.time_column")
    if is_dates(frame[column].tolist()):
        raise DataError(
            f"the column '{column}' holds dates, and times would count from the first one of this "
            "table, not from that of the study; write the times of both as numbers from one origin"
        )


def _logarithms(table: ObservationTable) -> np.ndarray:
    """Return the logarithms of the values, NaN where these are."""
    system, column = np.nonzero(table.values <= 0)
    if len(system):
        value = table.values[system[0], column[0]]
        raise DataError(
            f"{len(system)} observations are not positive and have no logarithm "
            f"('forward.observations.logarithm'), the first of them {value:g} of system "
            f"{system[0] + 1}; leave them empty if they were not measured, or compare the "
            "quantity itself ('logarithm: false')"
        )
    return np.log(table.values)


def read_wide(
    section: FileObservations,
    design: Sequence[str] = (),
    covariates: Sequence[str] = (),
    given: InMemory | None = None,
    levels: Sequence[str] = (),
    timed: SystemInputs | None = None,
    observations: Observations | None = None,
    centres: Sequence[float] | None = None,
    population: bool = True,
    units: Mapping[str, str] = _NO_UNITS,
) -> ObservationTable:
    """Read a wide table, whatever the forward model; see `read_fitting`.

    Text and infinity are refused. Missing values are refused too, or kept as NaN, as the section
    says. A table with the columns of levels has a row for each member. The messages name row and
    column, but not the file.
    """
    of_inputs = () if timed is None else timed.names
    names = [name for name in (*design, *covariates) if name not in of_inputs]
    limits, sources = section.limit_columns, list[str]()
    if isinstance(given, pd.DataFrame) or (given is None and has_named_columns(section.file)):
        source = read_text(Path(section.file)) if given is None else given
        held = stated_units(source)
        refuse_other_units(held, units)
        known, replicate = _sources(source, names), section.replicate_column
        sources = [*known, *(name for each in limits.values() for name in each)]
        table, frame = wide_table(
            source,
            system_column=None if levels else section.system_column,
            noise_scale_column=section.noise_scale_column,
            header=section.header,
            others=[*section.ignored_columns, *sources, *levels, *filter(None, [replicate])],
        )
        table = replace(table, column_units=held)
        if levels:
            row, members, labels = members_of(frame, levels, section.system_column or levels[-1])
            table = replace(table, system_ids=np.array(members, dtype=np.str_)[row])
            frame = frame.assign(**{_MEMBER: table.system_ids})
        if limits:
            table = replace(table, limits=read_limits(frame, limits, table.values.shape[1]))
    elif given is not None:
        table, frame = gridded_table(given, limits), systems_frame(given)
    elif names or levels:
        raise DataError("only a table has columns of design, covariates and levels")
    else:
        table, frame = read_gridded(Path(section.file), limits), pd.DataFrame()
    refuse_other_units(table.column_units, units)
    if section.missing_values:
        table = without_stand_ins(table, section.missing_values)
    check_table(table, section.missing == "mask", section.replicated, population)
    if table.replicate_count > 1 and not section.replicated:
        raise DataError(
            "has a dimension 'replicate'; set 'observations.replicates: rows' if the observations "
            "along it have the same parameters, and noise of their own"
        )
    if not (levels or frame.empty):
        table = replace(table, unused=_unused(frame, table, section, names))
    if section.replicated and table.replicate_count == 1:
        if sources or section.replicate_column:
            column = _MEMBER if levels else str(section.system_column)
            frame = _rows_of_systems(frame, column, section, sources)
        table = stacked(table)
    if timed is not None:
        cells = timed.cells(table.system_ids, _last_times(table, observations))
        frame = pd.DataFrame(cells) if frame.empty else frame.assign(**cells)
    if design or covariates:
        missing = section.missing_values or ()
        own = known_columns(frame, design, covariates, missing, centres)
        table = replace(table, known=own)
    return replace(table, labels=labels) if levels else table


def _unused(
    frame: pd.DataFrame, table: ObservationTable, section: FileObservations, names: Sequence[str]
) -> pd.DataFrame:
    """Return what a wide table, or a Dataset, holds of each system, and the study does not use."""
    columns = list(map(str, frame.columns))
    used = [*source_columns(columns, names), *columns_named(columns, section.named_columns)]
    if has_named_columns(section.file):
        # The other columns of a table are observations.
        ignored = columns_named(columns, section.ignored_columns)
        used += [name for name in columns if name not in ignored]
    row = np.arange(len(frame))
    if section.replicated and table.replicate_count == 1 and table.system_ids is not None:
        row = pd.factorize(table.system_ids)[0]
    return unused_columns(frame, row, [*used, *_OF_ARRAYS])


def _last_times(table: ObservationTable, observations: Observations | None) -> np.ndarray | None:
    """Return the time of the last value of each system, NaN without one; None without times."""
    if observations is None or observations.time_count is None:
        return None
    seen = np.isfinite(table.values).reshape(len(table.values), -1, len(observations)).any(axis=1)
    times = observations.coordinates[:, -1]
    return np.where(seen.any(axis=1), np.where(seen, times, -np.inf).max(axis=1), np.nan)


def _sources(source: pd.DataFrame | TextTable, names: Sequence[str]) -> list[str]:
    """Return the columns of a table that hold what is known of each system."""
    if not names:
        return []
    if not isinstance(source, TextTable):
        return source_columns(list(source.columns), names)
    return source_columns(source.cells(0, 1)[0] if source.lines else [], names)


def _rows_of_systems(
    frame: pd.DataFrame, column: str, section: FileObservations, constant: Sequence[str]
) -> pd.DataFrame:
    """Return the first row of each system of a wide table with replicates."""
    system = named_column(frame, column, "observations.system_column")
    if section.replicate_column:
        key = "observations.replicate_column"
        check_occasions(frame, system, named_column(frame, section.replicate_column, key))
    row, names = pd.factorize(frame[system].to_numpy(dtype=str))
    return rows_of_systems(frame, row, list(names), constant)


def _check_stand_ins(
    table: ObservationTable,
    value_column: str | None,
    names: Sequence[str],
    timed: Sequence[str] = (),
) -> None:
    """Refuse numbers that may stand for missing values, until the study says what they are."""
    columns, values = list(table.columns), list(table.pooled().values.T)
    if value_column is not None:
        columns, values = [f"the column '{value_column}'"], [table.values.ravel()]
    if table.known is not None:
        raw = np.hstack([table.known.design, table.known.covariates + table.known.centres])
        # Inputs over time have columns of their own, and amounts of zero in many systems.
        own = [j for j, name in enumerate(names) if name not in timed]
        columns += [f"the column '{names[j]}'" for j in own]
        values += list(np.round(raw[:, own], 6).T)
    found = stand_ins_in(columns, values)
    if not found:
        return
    (first, *others), numbers = found, sorted({each.number for each in found})
    more = f" ({len(others)} more columns hold such numbers)" if others else ""
    raise DataError(
        f"{first.column} holds {first.number:g} in {first.count} rows{more}, which may stand for "
        f"missing: state 'observations.missing_values: {shown(numbers)}', or '[]' if it is an "
        "observation"
    )


def _check_size(table: ObservationTable, width: int, times: int | None, fewest: int) -> None:
    """Check that a table has a column for each observation of the forward model, and enough rows.

    A system has ``width`` observations, at ``times`` times if they are series.
    """
    values = table.pooled().values
    if table.time_count is not None and table.time_count != times:
        raise DataError(
            f"has a time axis of length {table.time_count}, but the forward model has "
            f"{'no time' if times is None else f'{times} times'}"
        )
    if values.shape[1] != width:
        per_time = width // (times or 1)
        expected = f"{per_time} sensors" + ("" if times is None else f" at {times} times")
        raise DataError(
            f"has {values.shape[1]} columns of observations, but the study has "
            f"{expected} (rows are systems, columns are sensors).{_hint(values, width)}"
        )
    if (count := len(table.values)) < fewest:
        raise DataError(f"has {count} systems, but a population needs at least {fewest}")


def _check_units(
    table: ObservationTable, observations: Observations, time_column: str | None
) -> None:
    """Refuse observations in another unit than the forward model's, where both are stated."""
    units, of_times = observations.units, observations.coordinate_units
    if time_column is not None and of_times != "1" and observations.coordinates.shape[1] == 1:
        stated = table.column_units.get(name_and_unit(time_column)[0], "")
        if differing_units(stated, of_times):
            raise DataError(
                f"the column '{time_column}' is in '{stated}', but the times of the forward model "
                f"are in '{of_times}'. Convert the column, or state its unit in "
                "'forward.observations.coordinate_units'."
            )
    if units == "1":
        return
    for column, stated in enumerate(table.units):
        # A wide table may give the place or time of a column with its unit.
        if differing_units(stated, units) and differing_units(
            stated, observations.coordinate_units
        ):
            where = (
                f"{table.columns[column]} is" if len(table.units) > 1 else "its observations are"
            )
            raise DataError(
                f"{where} in '{stated}', but the forward model's '{observations.name}' is "
                f"in '{units}'. Convert the file or the simulator. If the units are the same, "
                "write them alike in the file and in 'forward.observations.units'."
            )


def _hint(values: np.ndarray, width: int) -> str:
    rows, columns = values.shape
    if rows == width:
        return " It looks transposed."
    counts = values[:, 0] - values[0, 0]
    if columns == width + 1 and np.array_equal(counts, np.arange(rows)):
        return (
            " Its first column counts the rows; leave it out, or name it in "
            "'observations.system_column'."
        )
    return ""
