"""The observations of the user's own simulators: their entries, places and times.

A simulator may have times of its own, between which it is interpolated.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal, Self, cast

import numpy as np
from pydantic import AfterValidator, Discriminator, Field, Tag, model_validator
from pydantic_core import PydanticCustomError

from popinv.errors import DataError
from popinv.forward.base import Observations
from popinv.sections.base import (
    Entries,
    Given,
    NotBoolean,
    Number,
    Positive,
    Section,
    checked_entries,
)
from popinv.sections.messages import ConfigProblem, shown

# Degrees of the splines that a configuration may name.
DEGREES = {"linear": 1, "cubic": 3}


def interpolation_matrix(
    simulated: Sequence[float], times: Sequence[float], kind: str
) -> np.ndarray:
    """Return B with y(times) = B y(simulated), for the spline through the simulated values.

    Parameters
    ----------
    simulated : sequence of float, length m
        Increasing times.
    times : sequence of float, length n
        Between the first and the last of them.
    kind : {"linear", "cubic"}
        The cubic spline is the one without a knot at the second and the last but one time; with
        fewer than four times its degree is m - 1.

    Returns
    -------
    ndarray of shape (n, m)
    """
    # Imported here, since few studies need it.
    from scipy.interpolate import make_interp_spline

    degree = min(DEGREES[kind], len(simulated) - 1)
    spline = make_interp_spline(np.asarray(simulated, float), np.eye(len(simulated)), k=degree)
    return np.asarray(spline(np.asarray(times, float)))


def interpolated(values: Any, matrix: Any) -> Any:
    """Return B y of every entry for arrays, or tensors, y (rows, entries m) and B (n, m)."""
    entries = values.reshape(len(values), -1, matrix.shape[1])
    return (entries @ matrix.T).reshape(len(values), -1)


def interpolation_error(y: np.ndarray, simulated: Sequence[float], kind: str) -> float:
    """Return an estimate of the largest error of interpolating y, shape (n, m), in time.

    The error for half of the times is seen at the other half. It falls as the step to the power
    degree + 1, so it is divided by two to that power.
    """
    seen = interpolation_matrix(simulated[::2], simulated[1 : len(simulated) - 1 : 2], kind)
    halved = np.abs(y[:, ::2] @ seen.T - y[:, 1 : len(simulated) - 1 : 2])
    return float(halved.max(initial=0.0) / 2 ** (DEGREES[kind] + 1))


def _identifier(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise PydanticCustomError(
            "name", "a name holds letters, digits and _, and does not begin with a digit"
        )
    return name


Name = Annotated[str, AfterValidator(_identifier)]


class RegularTimes(Section):
    """Times at equal distances."""

    first: Number = Field(description="The first time.")
    step: Positive = Field(description="Step from one time to the next.")
    count: Entries = Field(description="Number of times.")


class TimesOfFile(Section):
    """The times of a long table of observations."""

    file: str = Field(description="A CSV file with a row for each observation.")
    column: str = Field(description="Its column of times.")
    grid: Annotated[int, Field(ge=2), AfterValidator(checked_entries), NotBoolean] | None = Field(
        default=None,
        description=(
            "Number of times at equal distances, from the first to the last. Those nearest to a "
            "time of the file are taken. null: all times of the file.\n\n"
            "`observations.time_tolerance` then says by how much times may be rounded."
        ),
    )


def _form_of_times(value: Any) -> str:
    if isinstance(value, list | tuple):
        return "<list>"
    of_file = isinstance(value, TimesOfFile) or (isinstance(value, dict) and "file" in value)
    return "<file>" if of_file else "<regular>"


def _written_out(times: list[float] | RegularTimes | TimesOfFile) -> list[float]:
    if isinstance(times, TimesOfFile):
        # Imported here, since few studies read their times from a file.
        from popinv.sections.tables import times_of_file

        try:
            return times_of_file(times.file, times.column, times.grid)
        except DataError as error:
            raise PydanticCustomError(
                "times", "{file}: {text}", {"file": times.file, "text": str(error)}
            ) from None
    if isinstance(times, RegularTimes):
        return [times.first + times.step * k for k in range(times.count)]
    rounding = 1e-9 * max(map(abs, times), default=0.0)
    if any(later <= earlier + rounding for earlier, later in itertools.pairwise(times)):
        raise PydanticCustomError(
            "times",
            "times must increase from each to the next, by more than a billionth of the longest",
        )
    return times


Times = Annotated[
    Annotated[list[Number], Field(min_length=1), Tag("<list>")]
    | Annotated[RegularTimes, Tag("<regular>")]
    | Annotated[TimesOfFile, Tag("<file>")],
    Discriminator(_form_of_times),
    AfterValidator(_written_out),
]
SimulatedTimes = Annotated[
    Annotated[list[Number], Field(min_length=2), Tag("<list>")]
    | Annotated[RegularTimes, Tag("<regular>")],
    Discriminator(_form_of_times),
    AfterValidator(_written_out),
]


def _default_count(values: dict[str, Any]) -> int | None:
    columns = [*values.get("coordinates", {}).values(), values.get("labels") or []]
    longest = max(len(column) for column in columns)
    return longest or (1 if values.get("times") else None)


class SimulatorObservations(Section):
    """The observations of each system: a number of entries, at each time if there are any.

    With times, all times of the first entry come first, then all times of the second, and so on.
    """

    coordinates: dict[Name, Annotated[list[Number], Field(min_length=1)]] = Field(
        default_factory=dict,
        description=(
            "Places of the entries: a list of numbers for each coordinate, such as `{x: [0, 1, "
            "2]}`. Noise of kind `kernel` computes distances from them."
        ),
        json_schema_extra={"x-default": "`entry`, which counts the entries from 0"},
    )
    labels: list[str] = Field(
        default_factory=list,
        description="Names of the entries, if they are different quantities.",
        json_schema_extra={"x-default": "none"},
    )
    times: Times | None = Field(
        default=None,
        description=(
            "Times at which every entry is observed: a list, `{first: 0, step: 0.5, count: 40}`, "
            "or `{file: data.csv, column: time}`. null: no time.\n\n"
            "`file` and `column` take all times of a long table; of the study's own table, the "
            "times of rows with a value. `grid: 200` rounds them to at most 200 regular times."
        ),
    )
    simulated_times: SimulatedTimes | None = Field(
        default=None,
        description=(
            "Times at which the simulator returns every entry, if they differ from `times`: a "
            "list, or `{first: 0, step: 0.5, count: 40}`. null: `times`.\n\n"
            "The output is interpolated to `times`, which must lie between the first and the last "
            "of these times."
        ),
    )
    interpolation: Literal["cubic", "linear"] = Field(
        default="cubic",
        description=(
            "Interpolation of `simulated_times`: a cubic spline, or `linear` for a model with "
            "jumps or kinks in time."
        ),
    )
    count: Annotated[Entries, Given] = Field(
        # None is refused if there is nothing to count.
        default_factory=_default_count,  # type: ignore[assignment]
        description="Number of entries, not counting times.",
        json_schema_extra={"x-default": "the number of coordinates or labels; 1 with times alone"},
    )
    name: Name = Field(default="y", description="Name of the observed quantity.")
    units: str = Field(default="1", description="Its unit, 1 if it has none.")
    long_name: str = Field(
        default="",
        description="A description for plots and tables.",
        json_schema_extra={"x-default": "none"},
    )
    coordinate_units: str = Field(default="1", description="Unit of the coordinates and times.")
    logarithm: bool = Field(
        default=False,
        description=(
            "`true` compares model and data by their natural logarithms. Simulator and file give "
            "the quantity itself, which must be positive.\n\n"
            "The noise of the study is then the noise of the logarithms, a log-normal error. Its "
            "standard deviation has no unit: 0.1 is about 10 %."
        ),
    )

    @model_validator(mode="after")
    def _not_too_many(self) -> Self:
        for times in (self.described_times(), self.asked_times()):
            checked_entries(self.count * len(times or [None]))
        return self

    def described_times(self) -> list[float] | None:
        """Return the times, written out."""
        return cast("list[float] | None", self.times)

    def asked_times(self) -> list[float] | None:
        """Return the times at which the simulator returns every entry, written out."""
        simulated = cast("list[float] | None", self.simulated_times)
        return self.described_times() if simulated is None else simulated

    def interpolation_matrix(self) -> np.ndarray | None:
        """Return B with y(times) = B y(simulated_times), (n, m); None if they are the same."""
        times, asked = self.described_times(), self.asked_times()
        if self.simulated_times is None or times is None or asked is None:
            return None
        # Imported here, since few studies need it.

        return interpolation_matrix(asked, times, self.interpolation)

    def asked_count(self) -> int:
        """Return how many numbers the simulator returns for a system."""
        return self.count * len(self.asked_times() or [None])

    def described(self) -> Observations:
        """Return the entries at their places; times run fastest.

        Without coordinates a place is the number of the entry; where there is one place only, its
        number is left out beside the times.
        """
        count, times = self.count, self.described_times()
        columns = {name: np.asarray(column, float) for name, column in self.coordinates.items()}
        if not columns and (times is None or count > 1):
            columns["entry"] = np.arange(float(count))
        labels = list(self.labels)
        if times is not None:
            columns = {name: np.repeat(column, len(times)) for name, column in columns.items()}
            columns["t"] = np.tile(np.asarray(times, float), count)
            labels = [label for label in labels for _ in times]
        name, units, long_name = self.name, self.units, self.long_name
        if self.logarithm:
            unit = "" if units == "1" else f" in {units}"
            name, units, long_name = f"log_{name}", "1", f"logarithm of {long_name or name}{unit}"
        return Observations(
            coordinates=np.column_stack(list(columns.values())),
            coordinate_names=tuple(columns),
            name=name,
            units=units,
            long_name=long_name,
            coordinate_units=self.coordinate_units,
            labels=labels,
            logarithm=self.logarithm,
        )

    def problems(self) -> Iterator[ConfigProblem]:
        """Yield columns of different lengths, and times in the wrong place."""
        if "t" in self.coordinates:
            yield ConfigProblem(
                ("coordinates", "t"), "times are given as 'times', not as a coordinate."
            )
        yield from self._problems_of_times()
        columns = {("coordinates", name): column for name, column in self.coordinates.items()}
        for path, column in (columns | ({("labels",): self.labels} if self.labels else {})).items():
            if len(column) != self.count:
                yield ConfigProblem(
                    path, f"has {len(column)} entries, but each system has {self.count} ('count')."
                )
        if len(set(self.labels)) < len(self.labels):
            yield ConfigProblem(("labels",), f"got {shown(self.labels)}, but no two may be equal.")

    def _problems_of_times(self) -> Iterator[ConfigProblem]:
        times, simulated = self.described_times(), self.asked_times()
        if self.simulated_times is None or simulated is None:
            return
        if times is None:
            yield ConfigProblem(
                ("simulated_times",), "is interpolated to 'times', which must be given beside it."
            )
        elif min(times) < simulated[0] or max(times) > simulated[-1]:
            yield ConfigProblem(
                ("simulated_times",),
                f"go from {simulated[0]:g} to {simulated[-1]:g}, but observations from "
                f"{min(times):g} to {max(times):g} are needed: nothing is extrapolated.",
            )
