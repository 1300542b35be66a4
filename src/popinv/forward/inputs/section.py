"""The section ``forward.inputs``: the table of inputs over time, and its events by system."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import AfterValidator, Field, PrivateAttr
from pydantic_core import PydanticCustomError

from popinv.errors import DataError
from popinv.forward.external.observations import Name
from popinv.forward.inputs.shape import InputsShape, Statistic
from popinv.sections.base import Count, Section
from popinv.sections.tables import (
    is_dates,
    named_column,
    numbers_of,
    place_in,
    read_frame,
    stated_times,
)
from popinv.sections.units import columns_called

if TYPE_CHECKING:
    import pandas as pd

TIME = "time"
"""What a simulator calls the times of the events."""


class Inputs(Section):
    """Inputs of each system over time: events, such as doses, or a series, such as rain.

    A simulator with an argument `inputs` receives them. Systems may have different numbers.
    """

    file: str = Field(
        description=(
            "A table with a row for each event. It may be the observation file. A table of "
            "observations with these columns holds the inputs of its own systems."
        )
    )
    system_column: str = Field(min_length=1, description="Its column of systems.")
    time_column: str = Field(
        min_length=1, description="Its column of times: numbers, from the origin of the times."
    )
    amount_column: str | None = Field(
        default=None,
        min_length=1,
        description=(
            "Column of the amounts of a dosing table. The columns EVID, CMT, RATE, II and ADDL are "
            "then read as NONMEM does. null: a series."
        ),
    )
    columns: list[Name] = Field(
        default_factory=list,
        description="Columns of a series. Of doses: `amount`, `duration` and `compartment`.",
        json_schema_extra={"x-default": "of doses, what the table says of them"},
    )
    count: Count | None = Field(
        default=None,
        description="Most events of a system.",
        json_schema_extra={"x-default": "that of the file"},
    )
    summary: list[Statistic] = Field(
        default_factory=list,
        description=(
            "What a network learns of the inputs: `count`, `last_time`, `total` and `mean` of each "
            "quantity, or all `values`. Without, there is no surrogate (`surrogate: {kind: none}`)."
            "\n\nThe observations must depend on nothing else; the check of the surrogate tells."
        ),
        json_schema_extra={"x-default": "none"},
    )
    _table: Any = PrivateAttr(default=None)

    def with_table(self, frame: pd.DataFrame) -> Inputs:
        """Return the section with a table of text in memory in the place of the file."""
        copied = self.model_copy()
        copied._table = frame
        return copied

    def written_out(self) -> Inputs:
        """Return the section with the columns and the number of events of the table.

        Raises
        ------
        DataError
            If the table cannot be read. The message does not name the file.
        """
        if self.count is not None and self.columns:
            return self
        frame = self.table()
        columns = self.columns
        if self.amount_column is not None and not columns:
            from popinv.forward.inputs.dosing import quantities_of

            columns = quantities_of(frame)
        named = self.model_copy(update={"columns": columns})
        most = max(map(len, named.events(frame).values()), default=0)
        return named.model_copy(update={"count": self.count or max(1, most)})

    def shape(self) -> InputsShape:
        """Return the padded form, of a section that is written out."""
        assert self.count is not None
        return InputsShape((TIME, *self.columns), self.count)

    def needs_solver(self) -> bool:
        """Return whether no surrogate can learn from the inputs."""
        return not self.summary

    @property
    def is_read(self) -> bool:
        """Whether the table is in memory."""
        return self._table is not None

    def table(self) -> pd.DataFrame:
        """Return the table as text."""
        return read_frame(Path(self.file)) if self._table is None else self._table

    def is_in(self, frame: pd.DataFrame) -> bool:
        """Return whether a table has the columns of the inputs."""
        own = [self.amount_column] if self.amount_column else self.columns
        held = [str(column) for column in frame.columns]
        wanted = [self.system_column, self.time_column, *own]
        return all(columns_called(held, name) for name in wanted)

    def events(self, frame: pd.DataFrame) -> dict[str, np.ndarray]:
        """Return the events of each system of a table of text, (k, 1 + quantities), in time.

        Raises
        ------
        DataError
            If the table lacks a column, or if something is wrong with one of its rows. The message
            names the row, but not the file.
        """
        named = named_column(frame, self.system_column, "forward.inputs.system_column")
        number, names = _systems(frame[named])
        rows, values = self._rows(frame)
        for i in rows:
            if number[i] < 0:
                raise DataError(
                    f"{place_in(frame, i)}: the event has no system in the column "
                    f"'{self.system_column}'; name the system, or leave the row out"
                )
        times = self._times(frame, rows, number, names)
        if self.amount_column is None:
            assert values is not None
            owner, events = number[rows], np.column_stack([times[rows], values[rows]])
        else:
            from popinv.forward.inputs.dosing import check_units, single_doses

            time = named_column(frame, self.time_column, "forward.inputs.time_column")
            check_units(frame, time, self._amounts(frame))
            owner, events = single_doses(
                frame, rows, times, number, self._amounts(frame), tuple(self.columns)
            )
        return {name: events[owner == n] for n, name in enumerate(names)}

    def _amounts(self, frame: pd.DataFrame) -> str:
        assert self.amount_column is not None
        return named_column(frame, self.amount_column, "forward.inputs.amount_column")

    def _rows(self, frame: pd.DataFrame) -> tuple[np.ndarray, np.ndarray | None]:
        """Return the rows that are events, and the values of a series (n, quantities)."""
        if self.amount_column is not None:
            from popinv.forward.inputs.dosing import dose_rows

            return np.flatnonzero(dose_rows(frame, self._amounts(frame))), None
        names = [named_column(frame, each, "forward.inputs.columns") for each in self.columns]
        values = np.column_stack([numbers_of(frame, name) for name in names])
        rows = np.flatnonzero(~np.isnan(values).all(axis=1))
        for i in rows[np.isnan(values[rows]).any(axis=1)][:1]:
            lacking = names[int(np.isnan(values[i]).argmax())]
            raise DataError(
                f"{place_in(frame, i)}: the column '{lacking}' holds no value, but the other "
                "columns of 'forward.inputs' do; complete the row, or leave it out"
            )
        return rows, values

    def _times(
        self, frame: pd.DataFrame, rows: np.ndarray, number: np.ndarray, names: list[str]
    ) -> np.ndarray:
        column = named_column(frame, self.time_column, "forward.inputs.time_column")
        if is_dates(frame[column].tolist()):
            raise DataError(
                f"the column '{column}' holds dates, whose origin may differ from that of the "
                "observations; write the time since one origin as a number in both tables"
            )
        times = stated_times(frame, column)
        for i in rows[np.isnan(times[rows])][:1]:
            raise DataError(
                f"{place_in(frame, i)}: the event of system '{names[number[i]]}' has no time in "
                f"the column '{column}'; every event needs a number there"
            )
        last: dict[int, int] = {}
        for i in rows:
            before = last.get(int(number[i]))
            if before is not None and times[i] < times[before]:
                raise DataError(
                    f"{place_in(frame, i)}: the event of system '{names[number[i]]}' is at "
                    f"{times[i]:g}, before that of {place_in(frame, before)} at "
                    f"{times[before]:g}; the events of a system stand in the order of their "
                    "times. Sort the rows, or correct the time"
                )
            last[int(number[i])] = int(i)
        return times


def written_out(given: Inputs | None) -> Inputs | None:
    """Return the section with what follows from its table, for the checks of a configuration."""
    if given is None:
        return None
    if given.amount_column is None and not given.columns:
        raise PydanticCustomError(
            "inputs",
            "name the 'amount_column' of a dosing table, or the 'columns' of a series",
        )
    if given.amount_column is not None:
        from popinv.forward.inputs.dosing import AMOUNT, QUANTITIES

        if given.columns and (
            AMOUNT not in given.columns or not set(given.columns) <= set(QUANTITIES)
        ):
            raise PydanticCustomError(
                "inputs",
                "the 'columns' of doses are 'amount', and 'duration' and 'compartment' if wanted; "
                "leave them out to take what the table says",
            )
    try:
        return given.written_out()
    except (DataError, OSError) as error:
        raise PydanticCustomError(
            "inputs", "{file}: {text}", {"file": given.file, "text": str(error)}
        ) from None


def _systems(cells: pd.Series) -> tuple[np.ndarray, list[str]]:
    """Return the number of the system of each row, -1 without a name, and the names."""
    numbers: dict[str, int] = {}
    held = [str(cell) for cell in cells]
    each = [numbers.setdefault(cell, len(numbers)) if cell else -1 for cell in held]
    return np.array(each, dtype=np.int64), list(numbers)


TimedInputs = Annotated[Inputs | None, AfterValidator(written_out)]
"""The type of the key ``forward.inputs``."""
