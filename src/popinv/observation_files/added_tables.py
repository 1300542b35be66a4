"""What the tables of an addition hold that the forward model of its study does not have yet.

The times of a long table may be further times, and its systems may have more events. A function
that needs no surrogate is evaluated there, too.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import pandas as pd

from popinv.errors import DataError
from popinv.observation_files.files import check_exists, has_named_columns, named_in_errors
from popinv.sections.tables import Seen, different_times, joint_times, read_frame

if TYPE_CHECKING:
    from popinv.forward.inputs.section import Inputs
    from popinv.forward.section import ForwardSection
    from popinv.observation_files.section import FileObservations

Table: TypeAlias = "str | Path | pd.DataFrame"
"""A file, or a table of text in memory."""

# Tables that were read, by file and time of change: Snakemake asks for the sections of each job.
_READ: dict[tuple[str, int], pd.DataFrame] = {}
_MOST_READ = 8


def with_added(
    forward: ForwardSection, section: FileObservations, table: object, inputs: Table | None
) -> ForwardSection:
    """Return a forward model at the times of an added table too, with room for its events.

    What is wrong with the table is left to those who read it.

    Parameters
    ----------
    section : FileObservations
        How the study's own table is read.
    table : Table
        Others have no times of their own.
    inputs : Table, optional
        The table of the inputs over time of its systems, if it does not hold them.
    """
    times, inputs_over_time, events = forward.stated_times(), forward.timed_inputs(), 0
    try:
        frame = _frame(table) if section.layout == "long" else None
        column = None if section.time_tolerance is not None else section.time_column
        if times and frame is not None and column is not None:
            seen = Seen(str(section.value_column), tuple(section.missing_values or ()))
            times = joint_times(times, different_times(frame, column, None, seen))
        if inputs_over_time is not None:
            held = frame if inputs is None else _frame(inputs)
            if held is not None and inputs_over_time.is_in(held):
                events = max(map(len, inputs_over_time.events(held).values()), default=0)
    except (DataError, OSError):
        return forward
    return forward.wider(times, events)


def _frame(table: object) -> pd.DataFrame | None:
    """Return a table as text, None for other data."""
    if not isinstance(table, str | Path):
        return table if isinstance(table, pd.DataFrame) else None
    if not has_named_columns(str(table)):
        return None
    key = str(table), Path(table).stat().st_mtime_ns
    if key not in _READ:
        while len(_READ) >= _MOST_READ:
            _READ.pop(next(iter(_READ)))
        _READ[key] = read_frame(Path(table))
    return _READ[key]


def inputs_of(forward: ForwardSection, inputs: Table | None) -> Inputs | None:
    """Return the inputs over time of added systems, from a table of their own if there is one.

    Raises
    ------
    DataError
        If the study has no inputs, if there is no such file, or if it lacks a column.
    """
    timed = forward.timed_inputs()
    if inputs is None:
        return timed
    name = "inputs" if isinstance(inputs, pd.DataFrame) else str(inputs)
    with named_in_errors(name):
        if timed is None:
            raise DataError(
                "is a table of inputs over time, but the study has none ('forward.inputs'); leave "
                "it out"
            )
    if not isinstance(inputs, pd.DataFrame):
        check_exists(inputs)
        inputs = read_frame(Path(inputs))
    return timed.model_copy(update={"file": name}).with_table(inputs)
