"""New systems of a finished study: a table of its form, perhaps with few of its columns or rows.

A wide table may lack sensors, and a long table times and quantities; a table may even hold a design
alone. The sensors of a wide table have the names of the study's file or, if these have none, the
numbers 1, 2, ... The columns that the table lacks are empty, so that the study's own reader takes
it. It reads covariates less what the study subtracted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from popinv.errors import DataError, nearest
from popinv.forward.base import Observations
from popinv.observation_files.column_units import refuse_other_units, stated_units
from popinv.observation_files.files import check_exists, has_named_columns, named_in_errors
from popinv.observation_files.fit import IN_MEMORY, InMemory, read_fitting
from popinv.observation_files.known_columns import source_columns
from popinv.observation_files.section import FileObservations
from popinv.observation_files.trees import NO_LEVELS, LevelColumns
from popinv.sections.messages import shown
from popinv.sections.tables import Seen, different_times, is_number, read_text, same_time
from popinv.sections.units import columns_called, name_and_unit

if TYPE_CHECKING:
    from popinv.forward.inputs.section import Inputs
    from popinv.observation_files.table import ObservationTable

# Keys of the section that name one column each.
_ONE = ("system", "value", "time", "label", "replicate", "censoring", "limit", "noise_scale")
_SYSTEM = "system"
# The reader takes a file by the ending of its name.
_NAME = "data.csv"
_SHOWN = 12


@dataclass(frozen=True)
class TableForm:
    """The form of a study's tables.

    Parameters
    ----------
    section : FileObservations
        How the study's own table is read; the defaults if it has none.
    names : sequence of str, length d_y
        The names of the observations in a wide table.
    design, covariates : sequence of str
        Columns that hold what is known of each system.
    centres : sequence of float
        What the study subtracted from its covariates.
    levels : LevelColumns
    inputs : Inputs, optional
        Inputs over time, whose numbers are the last entries of ``design``. A table with their
        columns holds those of its own systems.
    units : mapping of str to str
        Units of the columns of the study's own table, by their names.
    """

    section: FileObservations
    names: Sequence[str]
    design: Sequence[str] = ()
    covariates: Sequence[str] = ()
    centres: Sequence[float] = ()
    levels: LevelColumns = NO_LEVELS
    inputs: Inputs | None = None
    units: Mapping[str, str] = field(default_factory=dict)

    @property
    def known(self) -> tuple[str, ...]:
        """The names of design and covariates that are columns of a table."""
        timed = () if self.inputs is None else self.inputs.shape().names()
        return tuple(name for name in (*self.design, *self.covariates) if name not in timed)

    @property
    def long(self) -> bool:
        """Whether a row is an observation."""
        return self.section.layout == "long"

    def read(
        self, given: NewTable, observations: Observations, wider: Observations | None = None
    ) -> ObservationTable:
        """Return the new systems, with NaN where nothing was observed.

        Parameters
        ----------
        observations : Observations
            What the study observes.
        wider : Observations, optional
            The same at more times, which the systems are to have.

        Raises
        ------
        DataError
            If the table does not fit the study.
        """
        at = observations if wider is None or not self.long else wider
        try:
            table = read_fitting(
                given.section,
                at,
                self.design,
                self.covariates,
                given.content,
                whole=False,
                levels=self.levels,
                inputs=self.inputs,
                centres=self.centres,
                units=self.units,
            )
        except DataError as error:
            # The table of a file is read as one in memory.
            told = str(error).removeprefix(f"{IN_MEMORY}: ").removeprefix(f"{given.name}: ")
            raise DataError(f"{given.name}: {told}") from error
        return table if wider is None or at is wider else _at_more_times(table, at, wider)


@dataclass(frozen=True)
class NewTable:
    """A table of new systems that the study's reader takes.

    Attributes
    ----------
    name : str
        What messages call it.
    section : FileObservations
        How it is read.
    content : DataFrame, Dataset or None
        None for a file without names of columns.
    """

    name: str
    section: FileObservations
    content: InMemory | None

    @property
    def times(self) -> list[float]:
        """The times of the values of a long table."""
        section = self.section
        if not isinstance(self.content, pd.DataFrame) or section.time_column is None:
            return []
        seen = Seen(str(section.value_column), tuple(section.missing_values or ()))
        if not seen.rows(self.content).any():
            return []
        with named_in_errors(self.name):
            return different_times(self.content, section.time_column, None, seen)


def new_table(form: TableForm, source: str | Path | InMemory) -> NewTable:
    """Return a table of new systems with all columns of the study.

    Parameters
    ----------
    source : path, DataFrame of text, or Dataset
        A file, or a table in memory as :func:`popinv.observation_files.fit.read_fitting` takes it.

    Raises
    ------
    DataError
        If there is no such file, or if the table has a column that the study does not have.
    """
    section = form.section.replace(missing="mask", without=[], header=None)
    if isinstance(source, str | Path):
        check_exists(source)
        name, file = f"{source}", str(source)
        section = section.replace(file=file)
        if not has_named_columns(file):
            return NewTable(name, section, None)
        with named_in_errors(name):
            text = read_text(Path(file))
            first = text.cells(0, 1)[0] if text.lines else []
            titled = text.names_columns or form.long or any(not is_number(c) for c in first if c)
            if not titled and not _are_numbers(first, form.names):
                return NewTable(name, section.replace(header=False), None)
            content: InMemory = text.frame(True)
    else:
        name, content, section = IN_MEMORY, source, section.replace(file=_NAME)
    if not isinstance(content, pd.DataFrame):
        plain = section.replace(file="data.nc", ignored_columns=[], system_column=None)
        return NewTable(name, plain, content)
    with named_in_errors(name):
        refuse_other_units(stated_units(content), form.units)
        return NewTable(name, *(_long if form.long else _wide)(form, section, content))


def _are_numbers(cells: Sequence[str], names: Sequence[str]) -> bool:
    """Return whether cells of a first line are names of observations, all different."""
    places = [_place(cell, names) for cell in cells]
    return None not in places and len(set(places)) == len(places)


def _named(section: FileObservations, frame: pd.DataFrame) -> tuple[FileObservations, pd.DataFrame]:
    """Return section and table with a column that names the systems, if it has none."""
    columns = list(map(str, frame.columns))
    if section.system_column and columns_called(columns, section.system_column):
        return section, frame
    column = section.system_column or _SYSTEM
    if column not in columns:
        frame = frame.assign(**{column: [str(i + 1) for i in range(len(frame))]})
    return section.replace(system_column=column), frame


def _long(
    form: TableForm, section: FileObservations, frame: pd.DataFrame
) -> tuple[FileObservations, pd.DataFrame]:
    """Return a long table with empty columns of what it lacks."""
    given, system = list(map(str, frame.columns)), section.system_column
    held = bool(columns_called(given, str(section.value_column)))
    if len(frame) > 1 and held and system and not columns_called(given, system):
        raise DataError(
            f"there is no column '{system}', which tells whose each row is; the columns are "
            f"{', '.join(given)}. Add it.{nearest(system, given)}"
        )
    section, frame = _named(section, frame)
    columns, absent = list(map(str, frame.columns)), list[str]()
    keys = [getattr(section, f"{key}_column") for key in _ONE[1:-1]]
    for name in dict.fromkeys(filter(None, [*keys, *_limits(section)])):
        if not columns_called(columns, name):
            absent.append(name)
    needed = [name for name in absent if name in keys]
    # A table of the design alone has none of them; one of inputs over time has their times.
    alone = form.inputs is not None or len(needed) == len(set(filter(None, keys)))
    if needed and (held or not alone):
        raise DataError(
            f"there is no column '{needed[0]}', which the study's own table has; the columns are "
            f"{', '.join(columns)}.{nearest(needed[0], columns)}"
        )
    return section, frame.assign(**{name: "" for name in absent})


def _limits(section: FileObservations) -> list[str]:
    return [name for each in section.limit_columns.values() for name in each]


def _wide(
    form: TableForm, section: FileObservations, frame: pd.DataFrame
) -> tuple[FileObservations, pd.DataFrame]:
    """Return a wide table with all sensors in the study's order, empty where it lacks them."""
    if not form.levels.names:
        section, frame = _named(section, frame)
    columns = list(map(str, frame.columns))
    known = form.known
    special = [section.system_column, section.replicate_column, section.noise_scale_column]
    taken = {
        column
        for name in [*special, *form.levels.names, *section.ignored_columns, *_limits(section)]
        for column in (columns_called(columns, name) if name else [])
    }
    sources = source_columns(columns, known) if known else []
    taken |= set(sources)
    at: dict[int, str] = {}
    for column in columns:
        if column in taken:
            continue
        place = _place(column, form.names)
        if place is None:
            raise DataError(
                f"the column '{column}' is no sensor of the study, and nothing that it knows of a "
                f"system. Its sensors are {_list(form.names)}; beside them a table may have the "
                f"columns {', '.join(dict.fromkeys([*filter(None, special), *sources]))}."
                f"{nearest(column, [*form.names, *known])}"
            )
        if place in at:
            raise DataError(f"the columns '{at[place]}' and '{column}' are the same sensor")
        at[place] = column
    cells = {
        name: frame[at[i]].tolist() if i in at else [""] * len(frame)
        for i, name in enumerate(form.names)
    }
    whole = pd.DataFrame(cells, index=frame.index, dtype=object)
    rest = frame[[column for column in columns if column in taken]]
    empty = {n: "" for n in _limits(section) if not columns_called(columns, n)}
    ignored = [name for name in section.ignored_columns if columns_called(columns, name)]
    return section.replace(ignored_columns=ignored), pd.concat([rest, whole], axis=1).assign(
        **empty
    )


def _place(column: str, names: Sequence[str]) -> int | None:
    """Return the number of the observation that a column holds, or None."""
    for i, name in enumerate(names):
        if column == name:
            return i
    bare = name_and_unit(column)[0]
    found = [i for i, name in enumerate(names) if name_and_unit(name)[0] == bare]
    if not found and is_number(column):
        value = float(column)
        found = [i for i, n in enumerate(names) if is_number(n) and np.isclose(float(n), value)]
    return found[0] if len(found) == 1 else None


def _list(names: Sequence[str]) -> str:
    if len(names) <= _SHOWN:
        return ", ".join(names)
    return f"{', '.join(names[:_SHOWN])}, ... {names[-1]}"


def _at_more_times(
    table: ObservationTable, own: Observations, wider: Observations
) -> ObservationTable:
    """Return a table with a column for each of more times, empty where it has none."""
    times, more = (np.unique(each.coordinates[:, -1]) for each in (own, wider))
    places = np.abs(times[:, None] - more).argmin(axis=1)
    entries = np.arange(len(own) // len(times))[:, None] * len(more) + places

    def spread(each: np.ndarray, absent: float) -> np.ndarray:
        rows = each.reshape(len(each), -1, len(own))
        found = np.full((*rows.shape[:2], len(wider)), absent)
        found[:, :, entries.ravel()] = rows
        return found.reshape(len(each), -1)

    # Nothing is known of a limit where nothing is observed.
    ends = {"censored_below": -np.inf, "not_below": -np.inf}
    limits = {
        name: spread(each, ends.get(name, np.inf)) for name, each in (table.limits or {}).items()
    }
    columns = [str(i + 1) for i in range(len(wider))]
    return replace(
        table,
        values=spread(table.values, np.nan),
        columns=columns,
        names=None,
        time_shifts=None,
        limits=limits if table.limits else table.limits,
    )


def chosen_entries(
    at: Sequence[float | str], names: Sequence[str], observations: Observations
) -> np.ndarray:
    """Return the observations at some times, or with some names, as numbers in order.

    Raises
    ------
    DataError
        If there is no such observation; the message lists those that there are.
    """
    found: set[int] = set()
    times = observations.coordinates[:, -1] if observations.time_count else None
    for each in at:
        place = _place(str(each), names)
        if times is not None and (isinstance(each, float | int) or is_number(str(each))):
            near = np.flatnonzero(np.abs(times - float(each)) <= same_time(times))
            if len(near):
                found.update(near.tolist())
                continue
        if place is None:
            places = (
                shown(np.unique(times).tolist()[:_SHOWN]) if times is not None else _list(names)
            )
            raise DataError(
                f"at: got {each!r}, which is no {'time' if times is not None else 'sensor'} of "
                f"the study; it has {places}"
            )
        found.add(place)
    return np.array(sorted(found), dtype=int)
