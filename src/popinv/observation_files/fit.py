"""Check that a table of observations fits the forward model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from popinv.errors import DataError
from popinv.observation_files.limit_keys import states_limits
from popinv.observation_files.limits import held_at_limits, read_limits
from popinv.observation_files.reading import check_exists, read_observations
from popinv.observation_files.section import FileObservations, has_named_columns
from popinv.observation_files.stand_ins import stand_ins_in, without_stand_ins
from popinv.observation_files.table import ObservationTable, check_columns, check_table
from popinv.sections.messages import shown
from popinv.sections.text_files import kind_of
from popinv.sections.units import differing_units

if TYPE_CHECKING:
    import pandas as pd

    from popinv.forward.base import Observations
    from popinv.observation_files.in_memory import Given


# Fewer systems do not make a population.
_FEWEST_SYSTEMS = 4


def read_fitting(
    section: FileObservations,
    observations: Observations,
    design: Sequence[str] = (),
    covariates: Sequence[str] = (),
    given: Given | None = None,
    *,
    whole: bool = True,
) -> ObservationTable:
    """Read the file of a study's ``observations`` section, and check that it fits.

    Parameters
    ----------
    observations : Observations
        What the forward model gives.
    design, covariates : sequence of str
        Columns that hold what is known of each system.
    given : DataFrame or Dataset, optional
        The observations in memory, in the place of the file; see
        :mod:`popinv.observation_files.in_memory`.
    whole : bool
        Whether these are all observations of the study. If they are a part, a sensor may have none.

    Returns
    -------
    ObservationTable
        Values beyond a limit are at the limit, and the limits are of all values; the values are
        logarithms if those are observed, but not the limits.

    Raises
    ------
    DataError
        If the file cannot be read, or as :func:`check_fits`; if these are all observations, and a
        sensor has none.
    """
    if section.layout == "long":
        table = _read_long(section, observations, design, covariates, given)
    else:
        table = _read_wide(section, design, covariates, given)
    check_fits(table, section.file, len(observations), observations.time_count)
    _check_units(table, section.file, observations)
    try:
        if whole:
            check_columns(table)
        if section.missing_values is None:
            _check_stand_ins(table, section.value_column, (*design, *covariates))
        if states_limits(section):
            table = held_at_limits(table, section, observations)
    except DataError as error:
        raise _naming(section.file, error) from None
    if observations.logarithm:
        return replace(table, values=_logarithms(table, section.file))
    return table


def _logarithms(table: ObservationTable, path: str) -> np.ndarray:
    """Return the logarithms of the values, NaN where these are."""
    system, column = np.nonzero(table.values <= 0)
    if len(system):
        value = table.values[system[0], column[0]]
        raise DataError(
            f"{path}: {len(system)} observations are not positive and have no logarithm "
            f"('forward.observations.logarithm'), the first of them {value:g} of system "
            f"{system[0] + 1}; leave them empty if they were not measured, or compare the "
            "quantity itself ('logarithm: false')"
        )
    return np.log(table.values)


def _read_wide(
    section: FileObservations,
    design: Sequence[str],
    covariates: Sequence[str],
    given: Given | None,
) -> ObservationTable:
    names, frame = (*design, *covariates), None
    sources: list[str] = []
    stand_ins = section.missing_values or ()
    # These are imported where they are needed, since few studies need them.
    try:
        if names and given is None and not has_named_columns(section.file):
            raise DataError("only a table has columns of design and covariates")
        limits = {} if kind_of(section.file) in (".nc", ".zarr") else section.limit_columns
        if names or limits or section.replicate_column:
            from popinv.observation_files.known_columns import known_columns, source_columns

            frame = _frame(section, given)
            sources = source_columns(list(frame.columns), names)
            sources += [name for each in limits.values() for name in each if name not in sources]
        if section.replicate_column:
            sources.append(section.replicate_column)
        others = [*section.ignored_columns, *sources]
        if given is not None:
            table = _given_table(section, given, others, stand_ins)
        else:
            table = read_observations(
                section.file,
                mask_missing=section.missing == "mask",
                system_column=section.system_column,
                noise_scale_column=section.noise_scale_column,
                header=section.header,
                others=others,
                stand_ins=stand_ins,
                repeated_systems=section.replicated,
                limits=section.limit_columns,
            )
        if frame is not None and limits:
            own = read_limits(frame, limits, table.values.shape[1])
            table = replace(table, limits=own)
        if table.replicate_count > 1 and not section.replicated:
            raise DataError(
                "has a dimension 'replicate'; set 'observations.replicates: rows' if the "
                "observations along it have the same parameters, and noise of their own"
            )
        if section.replicated and table.replicate_count == 1:
            table, frame = _with_replicates(table, frame, section, sources)
        if frame is not None and names:
            table = replace(table, known=known_columns(frame, design, covariates, stand_ins))
    except DataError as error:
        raise _naming(section.file, error) from None
    return table


def _frame(section: FileObservations, given: Given | None) -> pd.DataFrame:
    """Return the table of text with the columns of design, covariates and replicates."""
    if given is not None:
        from popinv.observation_files.in_memory import systems_frame

        return systems_frame(given)
    from popinv.sections.tables import read_frame

    check_exists(section.file)
    return read_frame(Path(section.file))


def _given_table(
    section: FileObservations, given: Given, others: Sequence[str], stand_ins: Sequence[float]
) -> ObservationTable:
    """Return the observations of a table with a row for each system in memory."""
    from popinv.observation_files.in_memory import wide_table

    table = wide_table(
        given, section.system_column, section.noise_scale_column, others, section.limit_columns
    )
    if len(stand_ins):
        table = without_stand_ins(table, stand_ins)
    check_table(table, section.missing == "mask", section.replicated)
    return table


def _with_replicates(
    table: ObservationTable,
    frame: pd.DataFrame | None,
    section: FileObservations,
    constant: Sequence[str],
) -> tuple[ObservationTable, pd.DataFrame | None]:
    """Return a wide table with the rows of each system side by side, and its first rows as text."""
    from popinv.observation_files.replicates import check_occasions, stacked

    if frame is not None:
        import pandas as pd  # slow to import

        from popinv.observation_files.long_tables import rows_of_systems
        from popinv.sections.tables import named_column

        key, name = "observations.system_column", str(section.system_column)
        system = frame[named_column(frame, name, key)].to_numpy(dtype=str)
        if section.replicate_column:
            key = "observations.replicate_column"
            replicate = named_column(frame, section.replicate_column, key)
            occasion = frame[replicate].to_numpy(dtype=str)
            check_occasions(system, occasion, frame.index.to_numpy())
        row, names = pd.factorize(system)
        known = [name for name in constant if name != section.replicate_column]
        frame = rows_of_systems(frame, row, list(names), known)
    return stacked(table), frame


def _read_long(
    section: FileObservations,
    observations: Observations,
    design: Sequence[str],
    covariates: Sequence[str],
    given: Given | None,
) -> ObservationTable:
    from popinv.observation_files.long_tables import read_long

    try:
        if given is None:
            check_exists(section.file)
        table = read_long(
            Path(section.file) if given is None else _frame(section, given),
            observations,
            system_column=str(section.system_column),
            value_column=str(section.value_column),
            time_column=section.time_column,
            label_column=section.label_column,
            noise_scale_column=section.noise_scale_column,
            place_columns=section.place_columns,
            replicate_column=section.replicate_column,
            replicates=section.replicated,
            time_tolerance=section.time_tolerance,
            design=design,
            covariates=covariates,
            stand_ins=section.missing_values or (),
            limits=section.limit_columns,
            censoring_column=section.censoring_column,
            limit_column=section.limit_column,
        )
        check_table(table, mask_missing=True)
    except DataError as error:
        raise _naming(section.file, error) from None
    return table


def _naming(file: str, error: DataError) -> DataError:
    text = str(error)
    return DataError(text if text.startswith(f"{file}: ") else f"{file}: {text}")


def _check_stand_ins(
    table: ObservationTable, value_column: str | None, names: Sequence[str]
) -> None:
    """Refuse numbers that may stand for missing values, until the study says what they are."""
    columns, values = list(table.columns), list(table.pooled().values.T)
    if value_column is not None:
        columns, values = [f"the column '{value_column}'"], [table.values.ravel()]
    if table.known is not None:
        raw = np.hstack([table.known.design, table.known.covariates + table.known.centres])
        columns += [f"the column '{name}'" for name in names]
        values += list(np.round(raw, 6).T)
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


def check_fits(table: ObservationTable, path: str, width: int, times: int | None) -> None:
    """Check that a table has a column for each observation of the forward model, and enough rows.

    Parameters
    ----------
    path : str
        The file that the table was read from, for the message.
    width : int
        Number of observations of each system.
    times : int, optional
        Number of times among them, if the observations are time series.

    Raises
    ------
    DataError
        The message holds the numbers found and expected.
    """
    values = table.pooled().values
    if table.time_count is not None and table.time_count != times:
        raise DataError(
            f"{path}: has a time axis of length {table.time_count}, but the forward model has "
            f"{'no time' if times is None else f'{times} times'}"
        )
    if values.shape[1] != width:
        per_time = width // (times or 1)
        expected = f"{per_time} sensors" + ("" if times is None else f" at {times} times")
        raise DataError(
            f"{path}: has {values.shape[1]} columns of observations, but the study has "
            f"{expected} (rows are systems, columns are sensors).{_hint(values, width)}"
        )
    if (count := len(table.values)) < _FEWEST_SYSTEMS:
        raise DataError(
            f"{path}: has {count} systems, but a population needs at least {_FEWEST_SYSTEMS}"
        )


def _check_units(table: ObservationTable, path: str, observations: Observations) -> None:
    """Refuse observations in another unit than the forward model's, where both are stated."""
    units = observations.units
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
                f"{path}: {where} in '{stated}', but the forward model's '{observations.name}' is "
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
