"""Inputs over time of the systems of a table, as columns of their design.

They stand in the observation file itself, if it has their columns, or in a file of their own.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from popinv.errors import DataError, nearest
from popinv.forward.inputs.dosing import dose_rows, rows_without_observation
from popinv.forward.inputs.section import Inputs
from popinv.observation_files.files import named_in_errors
from popinv.observation_files.table import Account
from popinv.sections.tables import is_missing, is_number, named_column, place_in

# Times of an event and of an observation differ by rounding.
_ROUNDING = 1e-9
# Fewer zeros beside doses may be measured, and so may zeros where more than this share of the other
# values is zero.
_FEWEST_ZEROS, _FEW = 2, 0.05


@dataclass(frozen=True)
class SystemInputs:
    """Inputs of the systems of one table of observations.

    Parameters
    ----------
    section : Inputs
    own : DataFrame or None
        The table of observations, as text, if it has the columns of the inputs.
    whole : bool
        Whether these are all systems of the study. Otherwise the table of inputs may hold others,
        and doses may follow the last observation.
    joining : bool
        Whether these are systems that join a study, whose table holds no others.
    """

    section: Inputs
    own: pd.DataFrame | None
    whole: bool
    joining: bool = False

    @classmethod
    def beside(
        cls,
        section: Inputs | None,
        observations: pd.DataFrame | None,
        whole: bool,
        joining: bool = False,
    ) -> SystemInputs | None:
        """Return the inputs of the systems of a table of observations; None if there are none."""
        if section is None:
            return None
        own = observations is not None and section.is_in(observations)
        return cls(section, observations if own else None, whole, joining)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns of the design."""
        return self.section.shape().names()

    @property
    def columns(self) -> list[str]:
        """The columns that hold the inputs."""
        amount = self.section.amount_column
        return [*self.section.columns, *([] if amount is None else [amount])]

    def observed(
        self, frame: pd.DataFrame, value: str, account: Account
    ) -> tuple[pd.DataFrame, Account]:
        """Return a table without the values that are no observations, and the account of values.

        A row may hold both a dose and a value, unless a column such as EVID says what it is.

        Raises
        ------
        DataError
            If nothing but zeros stands beside doses, since it is then unclear whether these are
            observations. The message does not name the file.
        """
        if self.own is None or self.section.amount_column is None:
            return frame, account
        amounts = named_column(frame, self.section.amount_column, "forward.inputs.amount_column")
        held = ~frame[value].map(is_missing).to_numpy(dtype=bool)
        lacking = rows_without_observation(frame)
        for reason, rows in lacking.items():
            account = account.without(reason, int((rows & held).sum()))
            held &= ~rows
        if not lacking:
            self._refuse_zeros(frame, value, held & dose_rows(frame, amounts), held)
        return frame.assign(**{value: frame[value].where(held, "")}), account

    def _refuse_zeros(
        self, frame: pd.DataFrame, value: str, beside: np.ndarray, held: np.ndarray
    ) -> None:
        """Refuse values that are all zero ``beside`` doses, but hardly ever elsewhere."""
        zero = frame[value].map(lambda cell: is_number(cell) and float(cell) == 0.0).to_numpy(bool)
        others = held & ~beside
        usual = zero[others].sum() > _FEW * others.sum()
        if beside.sum() < _FEWEST_ZEROS or not zero[beside].all() or usual:
            return
        raise DataError(
            f"{place_in(frame, int(np.flatnonzero(beside)[0]))}: the column '{value}' is 0 in all "
            f"{beside.sum()} rows with a dose, but in few others. If nothing was observed there, "
            "leave these cells empty. If 0 was measured, add a column MDV that holds 0"
        )

    def cells(self, systems: Iterable[str] | None, last: np.ndarray | None) -> dict[str, list[str]]:
        """Return cells of the design of each system, by the names of its columns.

        Parameters
        ----------
        systems : iterable of str or None
            The systems that were observed, in order.
        last : ndarray, optional
            The time of the last observation of each system, NaN if there is none.

        Raises
        ------
        DataError
            If systems and inputs do not belong together, or a system has too many events.
        """
        if systems is None:
            raise DataError(
                "the systems have no names, by which inputs over time belong to them; set "
                "'observations.system_column'"
            )
        if self.own is not None:
            return self._cells(list(map(str, systems)), self.own, last)
        if self.joining and not self.section.is_read:
            raise DataError(
                "the added systems have no inputs; give the table the columns of 'forward.inputs', "
                "or name a table of their inputs (popinv add: --inputs TABLE; Result.add: inputs)"
            )
        with named_in_errors(self.section.file):
            return self._cells(list(map(str, systems)), self.section.table(), last)

    def _cells(
        self, systems: list[str], table: pd.DataFrame, last: np.ndarray | None
    ) -> dict[str, list[str]]:
        section, shape = self.section, self.section.shape()
        events, complete = section.events(table), self.whole or self.joining
        for name in [each for each in events if each not in systems] if complete else []:
            raise DataError(
                f"it has inputs of the system '{name}', but no such system was observed; correct "
                f"the name, or leave its rows out.{nearest(name, systems)}"
            )
        rows = []
        for i, name in enumerate(systems):
            if name not in events:
                todo = "add its rows"
                if not complete:
                    todo = (
                        "a long table of further systems holds their inputs in columns of its own, "
                        "with the names of 'forward.inputs'"
                    )
                elif section.amount_column:
                    todo += ", with the amount 0 if it had no dose"
                raise DataError(
                    f"the system '{name}' was observed, but it has no inputs; {todo}."
                    f"{nearest(name, list(events))}"
                )
            of_system = events[name]
            if len(of_system) > shape.count:
                raise DataError(
                    f"the system '{name}' has {len(of_system)} events, but there is room for "
                    f"{shape.count}; set 'forward.inputs.count: {len(of_system)}'"
                )
            if complete and section.amount_column is not None and last is not None:
                self._refuse_late(name, of_system, last[i], table)
            rows.append(shape.padded(of_system, zeros=section.amount_column is not None))
        columns = np.array(rows).T
        return {
            name: [repr(float(x)) for x in column]
            for name, column in zip(self.names, columns, strict=True)
        }

    def _refuse_late(self, name: str, events: np.ndarray, last: float, table: pd.DataFrame) -> None:
        """Refuse doses that no observation follows: their times or the system may be wrong."""
        late = events[events[:, 0] > last + _ROUNDING * max(1.0, abs(last)), 0]
        if not len(late):
            return
        system = table[named_column(table, self.section.system_column, "")].astype(str)
        rows = table.index[(system == name).to_numpy()]
        raise DataError(
            f"{table.index.name} {rows[0]} to {rows[-1]}: system '{name}' has a dose at "
            f"{late[0]:g}, after its last observation at {last:g}, which changes nothing that was "
            "observed. Check times and units, or leave out the rows of such doses (or lower ADDL)"
        )
