"""Inputs over time of the systems of a table, as columns of their design.

They stand in the observation file itself, if it has their columns, or in a file of their own.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from popinv.errors import DataError, nearest
from popinv.forward.inputs.dosing import observation_rows
from popinv.forward.inputs.section import Inputs
from popinv.observation_files.files import named_in_errors
from popinv.sections.tables import named_column

# Times of an event and of an observation differ by rounding.
_ROUNDING = 1e-9


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

    def observed(self, frame: pd.DataFrame, value_column: str) -> pd.DataFrame:
        """Return a table of observations without the values in rows that are doses."""
        if self.own is None or self.section.amount_column is None:
            return frame
        amounts = named_column(frame, self.section.amount_column, "forward.inputs.amount_column")
        value = named_column(frame, value_column, "observations.value_column")
        kept = observation_rows(frame, amounts)
        return frame.assign(**{value: frame[value].where(kept, "")})

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
