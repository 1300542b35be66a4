"""The keys that the sections of the user's own simulators share, and their checks.

There are three kinds of such simulators: a function in Python, a server, and a program.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path, PurePath
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_core import PydanticCustomError

from popinv.errors import ConfigError
from popinv.forward.base import Observations, Parameter
from popinv.forward.external.files import nearest_file
from popinv.forward.external.observations import Name, SimulatorObservations
from popinv.forward.inputs.section import Inputs, TimedInputs
from popinv.forward.inputs.shape import InputsShape
from popinv.forward.section import ForwardCost, MayBeRandom, PackagedSection
from popinv.sections.base import (
    Count,
    CountOrZero,
    Positive,
    Section,
    plain_path,
)
from popinv.sections.messages import ConfigProblem, shown

RETRIES = "Further attempts for a system that failed."
# Memory of one of the user's own processes, of which `parallel` may run. It is a guess.
_SIMULATOR_MB = 1000.0


def _inside(folder: str) -> str:
    path = PurePath(folder)
    if path.is_absolute() or ".." in path.parts or not folder:
        raise PydanticCustomError(
            "inside", "it must be a path inside the working directory, such as 'simulator'"
        )
    return plain_path(path.as_posix())


InsidePath = Annotated[str, AfterValidator(_inside)]


class NamedParameter(Section):
    """One parameter of the simulator."""

    name: Name = Field(description="Its name.")
    units: str = Field(default="1", description="Its unit, 1 if it has none.")
    long_name: str = Field(
        default="",
        description="A description for plots and tables.",
        json_schema_extra={"x-default": "none"},
    )


def _described(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


# Written out as mappings, so that the checked configuration has one form.
DescribedParameter = Annotated[
    NamedParameter, BeforeValidator(_described, json_schema_input_type=str | NamedParameter)
]
Parameters = Annotated[list[DescribedParameter], Field(min_length=1)]


class ExternalSection(MayBeRandom, PackagedSection):
    """The keys that the three kinds of the user's own simulators share."""

    # The attribute has another name, as `parameters` is a method of every forward model.
    parameter_list: Parameters = Field(
        alias="parameters",
        description=(
            "The parameters in the simulator's order: names, or `{name: ..., units: ..., "
            "long_name: ...}`."
        ),
    )
    design_list: list[DescribedParameter] = Field(
        default_factory=list,
        alias="design",
        description=(
            "Known quantities of each system that follow the parameters, such as a dose or a load: "
            "names, or mappings as for `parameters`. Each is a column of the observation file."
        ),
        json_schema_extra={"x-default": "none"},
    )
    timed: TimedInputs = Field(
        default=None,
        alias="inputs",
        description="Inputs of each system over time, such as doses, loads or rain. null: none.",
    )
    observations: SimulatorObservations = Field(
        description="The observations that the simulator returns for each system."
    )
    time_limit: Positive = Field(
        default=60.0,
        description=(
            "Seconds that the solve of one system may take, with the start of a program. A system "
            "that takes longer, alone in a call, has failed.\n\n"
            "A call of several systems may take this time multiplied by their number; see "
            "`call_time_limit`."
        ),
    )
    parallel: Count = Field(
        default=1,
        description=(
            "Calls at the same time within a job. Jobs already run side by side. Results do not "
            "depend on this key."
        ),
    )
    retries: CountOrZero = Field(default=0, description=RETRIES)

    def longest_call(self) -> float | None:
        """Return the most seconds of a call of several systems, None for the sum of the solves'."""
        return None

    def most_rows(self) -> int:
        """Return the largest number of systems in one call."""
        return 1

    def parameters(self) -> tuple[Parameter, ...]:
        """Return the parameters, with the names and units given."""
        return tuple(Parameter(p.name, p.units, p.long_name) for p in self.parameter_list)

    def design(self) -> tuple[Parameter, ...]:
        """Return the design, with the names and units given, and then the inputs over time."""
        given = tuple(Parameter(p.name, p.units, p.long_name) for p in self.design_list)
        if self.timed is None:
            return given
        return *given, *(Parameter(name) for name in self.timed.shape().names())

    def timed_inputs(self) -> Inputs | None:
        """Return the section ``inputs``."""
        return self.timed

    def stated_times(self) -> list[float] | None:
        """Return the times of the observations, written out."""
        return self.observations.described_times()

    def wider(self, times: Sequence[float] | None, events: int = 0) -> Self:
        """Return the section at other times, with room for a number of events."""
        changes: dict[str, Any] = {}
        if times is not None and list(times) != self.observations.described_times():
            changes["observations"] = self.observations.model_copy(update={"times": list(times)})
        if self.timed is not None and events > self.timed.shape().count:
            changes["timed"] = self.timed.model_copy(update={"count": events})
        return self.model_copy(update=changes) if changes else self

    def inputs_shape(self) -> InputsShape | None:
        """Return the padded form of the inputs over time; None if there are none."""
        return None if self.timed is None else self.timed.shape()

    def observed(self, seed: int) -> Observations:
        """Return the observations; the seed is unused, since the places are given."""
        return self.observations.described()

    def solver_modules(self) -> tuple[str, ...]:
        """Return the modules that make the observations of what the simulator returns."""
        changed = self.observations.simulated_times is not None or self.observations.logarithm
        return ("popinv.forward.external.transformed",) if changed else ()

    def cost(self) -> ForwardCost:
        """Return a guess of the cost of solving; the time limit bounds the time."""
        return ForwardCost(
            megabytes=_SIMULATOR_MB * self.parallel,
            # One bad system costs a few limits; but a simulator that needs its limit for every
            # system would be hopeless.
            seconds=self.time_limit / 20,
            setup_seconds=10 * self.time_limit,
            guess=True,
        )

    def measured_cost(self, seconds: float) -> ForwardCost:
        """Return the cost of solving where a solve took ``seconds`` on average.

        Systems that run out of time are in the average. One more may come.
        """
        return replace(self.cost(), seconds=seconds, setup_seconds=2 * self.time_limit)

    def solving_seconds(self, systems: int, each: float) -> float:
        """Return the time of the solves, of which ``parallel`` calls run at a time."""
        turns = math.ceil(systems / (self.most_rows() * self.parallel))
        return min(systems, turns * self.most_rows()) * each

    def repeated_places(self) -> Iterator[ConfigProblem]:
        """Yield places that are given more than once, at which a kernel makes the noise equal."""
        columns = self.observations.coordinates.values()
        for place, times in Counter(zip(*columns, strict=False)).items():
            if times > 1:
                yield ConfigProblem(
                    ("observations", "coordinates"),
                    f"{times} entries are at {shown(list(place))}, where correlated noise without "
                    "a nugget would be equal; set 'noise.nugget: true', or merge them.",
                )

    def problems(self) -> Iterator[ConfigProblem]:
        """Yield parameters of the same name, and what is wrong with the observations."""
        count = len(self.parameter_list)
        names = tuple(each.name for each in self.inputs())
        for i, name in enumerate(names):
            if name in names[:i]:
                place = ("parameters", i) if i < count else ("design", i - count)
                yield ConfigProblem(place, f"got '{name}', which is taken already.")
        for problem in self.observations.problems():
            yield problem.under("observations")


class LocalSimulator(ExternalSection):
    """The keys of simulators that run here and solve several systems in a call."""

    files: list[InsidePath] = Field(
        default_factory=list,
        description=(
            "Further files that the simulator reads, inside the working directory. A change of "
            "these files repeats the solves, like a change of the code."
        ),
        json_schema_extra={"x-default": "none"},
    )
    rows_per_call: Count = Field(
        default=100,
        description=(
            "Most systems in one call. For solves of minutes or more set 1: each solve is then "
            "kept as soon as it ends.\n\n"
            "A small number loses less if a system fails. A large number saves time if each call "
            "has a high cost."
        ),
    )
    call_time_limit: Positive | None = Field(
        default=None,
        description=(
            "Seconds that a call of several systems may take, at least `time_limit`. null: "
            "`time_limit` times the number of systems.\n\n"
            "The systems of a call that takes longer are tried one at a time, so that only systems "
            "that exceed `time_limit` fail. Where solves are quick, a call is stopped earlier: "
            "once it takes ten times as long for each system as any system before, but never "
            "before `time_limit`."
        ),
    )

    def longest_call(self) -> float | None:
        """Return ``call_time_limit``."""
        return self.call_time_limit

    def most_rows(self) -> int:
        """Return ``rows_per_call``."""
        return self.rows_per_call

    def problems(self) -> Iterator[ConfigProblem]:
        """Yield the problems of every simulator, and a limit of calls below the limit of solves."""
        yield from super().problems()
        if self.call_time_limit is not None and self.call_time_limit < self.time_limit:
            yield ConfigProblem(
                ("call_time_limit",),
                f"got {self.call_time_limit:g}, but one solve may take {self.time_limit:g} s "
                "('time_limit'); raise it, or leave it out.",
            )

    def source_files(self) -> tuple[Path, ...]:
        """Return the files of the simulator's code, and ``files``."""
        return tuple(sorted({*map(Path, self.files), *self.code_files()}))

    def code_files(self) -> set[Path]:
        """Return the files of the simulator's code."""
        return set()

    def check_files(self) -> None:
        """Check that ``files`` are there."""
        for i, file in enumerate(self.files):
            if not Path(file).is_file():
                raise ConfigError(f"files[{i}]: there is no file '{file}'.{nearest_file(file)}")
