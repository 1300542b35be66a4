"""The sections of the user's own simulator: a Python function, a server, or a program."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import PurePath
from typing import Annotated, Any, Literal, cast
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag
from pydantic_core import PydanticCustomError

from popinv.config.base import (
    Count,
    CountOrZero,
    Given,
    Number,
    Positive,
    Section,
    plain_path,
)
from popinv.config.forward.base import ForwardSection
from popinv.config.messages import Problem, listed, shown
from popinv.errors import nearest

__all__ = ["Executable", "ExternalSection", "PythonFunction", "SimulatorObservations", "UMBridge"]

_PLACEHOLDERS = ("input", "output")


def _identifier(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise PydanticCustomError(
            "name", "a name holds letters, digits and _, and does not begin with a digit"
        )
    return name


def _inside(folder: str) -> str:
    path = PurePath(folder)
    if path.is_absolute() or ".." in path.parts or not folder:
        raise PydanticCustomError(
            "inside", "it must be a path inside the working directory, such as 'simulator'"
        )
    return plain_path(path.as_posix())


def _words(command: list[str]) -> list[str]:
    if not command[0] or any("\0" in word for word in command):
        raise PydanticCustomError(
            "command", "the first word is the program, and no word holds a null character"
        )
    return command


def _module_and_function(target: str) -> str:
    if not re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", target):
        raise PydanticCustomError(
            "function", "it must be 'module:function', such as 'simulator:solve'"
        )
    return target


def _http_address(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise PydanticCustomError("url", "it must be an address such as 'http://localhost:4242'")
    return url.rstrip("/")


Name = Annotated[str, AfterValidator(_identifier)]
InsidePath = Annotated[str, AfterValidator(_inside)]


class NamedParameter(Section):
    """One parameter of the simulator."""

    name: Name = Field(description="Its name.")
    units: str = Field(default="1", description="Its unit, 1 if it has none.")
    long_name: str = Field(
        default="",
        description="What it is, for plots and tables.",
        json_schema_extra={"x-default": "none"},
    )


def _described(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


# Written out as mappings, so that the checked configuration has one form.
Parameters = Annotated[
    list[
        Annotated[
            NamedParameter,
            BeforeValidator(_described, json_schema_input_type=str | NamedParameter),
        ]
    ],
    Field(min_length=1),
]


class RegularTimes(Section):
    """Times at equal distances."""

    first: Number = Field(description="The first time.")
    step: Positive = Field(description="From one time to the next.")
    count: Count = Field(description="Number of times.")


def _list_or_regular(value: Any) -> str:
    return "<list>" if isinstance(value, list | tuple) else "<regular>"


def _written_out(times: list[float] | RegularTimes) -> list[float]:
    if isinstance(times, RegularTimes):
        return [times.first + times.step * k for k in range(times.count)]
    if any(later <= earlier for earlier, later in itertools.pairwise(times)):
        raise PydanticCustomError("times", "times must increase from each to the next")
    return times


Times = Annotated[
    Annotated[list[Number], Field(min_length=1), Tag("<list>")]
    | Annotated[RegularTimes, Tag("<regular>")],
    Discriminator(_list_or_regular),
    AfterValidator(_written_out),
]


def _default_count(values: dict[str, Any]) -> int | None:
    columns = [*values.get("coordinates", {}).values(), values.get("labels") or []]
    longest = max(len(column) for column in columns)
    return longest or (1 if values.get("times") else None)


class SimulatorObservations(Section):
    """What the simulator returns for each system: so many entries, at each time if there are any.

    With times, all times of the first entry come first, then all times of the second, and so on.
    """

    coordinates: dict[Name, Annotated[list[Number], Field(min_length=1)]] = Field(
        default_factory=dict,
        description="Places of the entries: a list of numbers for each coordinate, such as "
        "`{x: [0, 1, 2]}`. Noise of kind `kernel` reads distances off them.",
        json_schema_extra={"x-default": "`entry`, which counts the entries from 0"},
    )
    labels: list[str] = Field(
        default_factory=list,
        description="Names of the entries, where they are different quantities.",
        json_schema_extra={"x-default": "none"},
    )
    times: Times | None = Field(
        default=None,
        description="Times at which every entry is observed: a list, or `{first: 0, step: 0.5, "
        "count: 40}`. null: no time.",
    )
    count: Annotated[Count, Given] = Field(
        # None, where there is nothing to count, does not pass.
        default_factory=_default_count,  # type: ignore[assignment]
        description="Number of entries, not counting times.",
        json_schema_extra={"x-default": "that of the coordinates or labels; 1 with times alone"},
    )
    name: Name = Field(default="y", description="Name of the observed quantity.")
    units: str = Field(default="1", description="Its unit, 1 if it has none.")
    long_name: str = Field(
        default="",
        description="What it is, for plots and tables.",
        json_schema_extra={"x-default": "none"},
    )
    coordinate_units: str = Field(default="1", description="Unit of the coordinates and times.")

    def time_count(self) -> int | None:
        """Return the number of times, None without time."""
        times = cast("list[float] | None", self.times)  # written out by now
        return None if times is None else len(times)

    def problems(self) -> Iterator[Problem]:
        """Yield columns of different lengths, and times in the wrong place."""
        if "t" in self.coordinates:
            yield Problem(("coordinates", "t"), "times are given as 'times', not as a coordinate.")
        columns = {("coordinates", name): column for name, column in self.coordinates.items()}
        for path, column in (columns | ({("labels",): self.labels} if self.labels else {})).items():
            if len(column) != self.count:
                yield Problem(
                    path, f"has {len(column)} entries, but each system has {self.count} ('count')."
                )
        if len(set(self.labels)) < len(self.labels):
            yield Problem(("labels",), f"got {shown(self.labels)}, but no two may be equal.")


class ExternalSection(ForwardSection):
    """What the three kinds of simulator of one's own share."""

    parameters: Parameters = Field(
        description="The simulator's parameters, in the order it takes them: names, or "
        "`{name: ..., units: ..., long_name: ...}`."
    )
    observations: SimulatorObservations = Field(
        description="What the simulator returns for each system."
    )
    time_limit: Positive = Field(
        default=60.0,
        description="Seconds that one call may take. A call of several systems that takes longer "
        "is stopped and halved, until the systems that are at fault stand alone.",
    )
    parallel: Count = Field(
        default=1,
        description="Calls at the same time within a job. Jobs run side by side already; results "
        "do not depend on it.",
    )

    def parameter_names(self) -> tuple[str, ...]:
        """Return the names of the parameters."""
        return tuple(parameter.name for parameter in self.parameters)

    def observation_count(self) -> int:
        """Return the number of entries times the number of times."""
        return self.observations.count * (self.time_count() or 1)

    def time_count(self) -> int | None:
        """Return the number of times, None without time."""
        return self.observations.time_count()

    def times_are_regular(self) -> bool:
        """Return whether the times are equally spaced, to the digits in which they are given."""
        times = cast("list[float] | None", self.observations.times) or []
        steps = [later - earlier for earlier, later in itertools.pairwise(times)]
        return not steps or max(steps) - min(steps) <= 1e-6 * max(steps)

    def repeated_places(self) -> Iterator[Problem]:
        """Yield places that are given more than once, where a kernel says the same number."""
        columns = self.observations.coordinates.values()
        for place, times in Counter(zip(*columns, strict=False)).items():
            if times > 1:
                yield Problem(
                    ("observations", "coordinates"),
                    f"{times} entries are at {shown(list(place))}, where correlated noise without "
                    "a nugget would be the same number; set 'noise.nugget: true', or merge them.",
                )

    def problems(self) -> Iterator[Problem]:
        """Yield parameters of the same name, and what is wrong with the observations."""
        names = self.parameter_names()
        for i, name in enumerate(names):
            if name in names[:i]:
                yield Problem(("parameters", i), f"got '{name}', which is taken already.")
        for problem in self.observations.problems():
            yield problem.under("observations")


_RETRIES = "How often a system that failed is tried again."
_ROWS = (
    "Most systems in one call. Fewer lose less when one of them fails, more save time where a "
    "call is dear by itself."
)
_FILES = (
    "Further files that the simulator reads, inside the working directory: a change in them "
    "repeats the solves, as a change in its code does."
)


class PythonFunction(ExternalSection):
    """Your own function in Python.

    It takes an array of parameters of shape (n, number of parameters), one system a row, and
    returns the observations, shape (n, number of observations). It runs in a process of its own.
    """

    kind: Literal["python"] = Field(description="A function in Python.")
    function: Annotated[str, AfterValidator(_module_and_function)] = Field(
        description="`module:function`. A function with an argument `seeds` is given one whole "
        "number for each system, to draw its random numbers from."
    )
    path: InsidePath = Field(
        default=".", description="Folder of the module, inside the working directory."
    )
    derivatives: Literal["jacobian", "torch"] | None = Field(
        default=None,
        description="Derivatives that the function gives. `jacobian`: it returns a pair, the "
        "observations and their Jacobian of shape (n, number of observations, number of "
        "parameters); with an argument `jacobian` it is told whether that is wanted. `torch`: it "
        "takes and returns tensors of torch, which differentiates it. null: none.",
    )
    files: list[InsidePath] = Field(
        default_factory=list, description=_FILES, json_schema_extra={"x-default": "none"}
    )
    rows_per_call: Count = Field(default=100, description=_ROWS)
    retries: CountOrZero = Field(default=0, description=_RETRIES)


class UMBridge(ExternalSection):
    """Your own simulator behind the UM-Bridge protocol, asked for one system at a time."""

    kind: Literal["umbridge"] = Field(description="A UM-Bridge server.")
    url: Annotated[str, AfterValidator(_http_address)] = Field(
        description="Address of the server, such as `http://localhost:4242`."
    )
    model: str = Field(
        default="forward", min_length=1, description="Name of the model on the server."
    )
    config: dict[str, Any] = Field(
        default_factory=dict,
        description="Settings passed on to the model with each request.",
        json_schema_extra={"x-default": "none"},
    )
    derivatives: bool = Field(
        default=True,
        strict=True,
        description="Whether Gradient and ApplyJacobian of the model are used, where the server "
        "says that it supports them.",
    )
    version: str = Field(
        default="",
        description="Any text. The server's code cannot be seen from here: change the text when "
        "the code has changed, and the solves are repeated.",
        json_schema_extra={"x-default": "none"},
    )
    retries: CountOrZero = Field(default=2, description=_RETRIES)


class Executable(ExternalSection):
    """Your own program, which reads a file of parameters and writes a file of observations."""

    kind: Literal["executable"] = Field(description="A program.")
    command: Annotated[list[str], Field(min_length=1), AfterValidator(_words)] = Field(
        description="The program and its arguments, such as `[./simulator, '{input}', "
        "'{output}']`; `{input}` and `{output}` become the paths of the two files. No shell reads "
        "it."
    )
    format: Literal["csv", "npy"] = Field(
        default="csv",
        description="Of both files. `csv`: the input has a first line with the parameters' names, "
        "then one line for each system; the output has one line for each system, with or without "
        "a first line of names. `npy`: tables of float64 in NumPy's format.",
    )
    pass_seed: bool = Field(
        default=False,
        strict=True,
        description="Whether the input has a last column `seed`, a whole number for each system, "
        "for programs that draw random numbers.",
    )
    files: list[InsidePath] = Field(
        default_factory=list, description=_FILES, json_schema_extra={"x-default": "none"}
    )
    rows_per_call: Count = Field(default=100, description=_ROWS)
    retries: CountOrZero = Field(default=0, description=_RETRIES)

    def problems(self) -> Iterator[Problem]:
        """Yield placeholders that are missing or unknown, and a second column `seed`."""
        yield from super().problems()
        found = [name for part in self.command for name in re.findall(r"\{(\w+)\}", part)]
        for name in found:
            if name not in _PLACEHOLDERS:
                yield Problem(
                    ("command",),
                    f"holds {{{name}}}, but only {{input}} and {{output}} are replaced."
                    + nearest(name, _PLACEHOLDERS),
                )
        missing = [f"{{{name}}}" for name in _PLACEHOLDERS if name not in found]
        if missing:
            yield Problem(
                ("command",),
                f"got {shown(self.command)}, but it must hold {{input}} and {{output}}; missing: "
                f"{listed(missing)}.",
            )
        if self.pass_seed and "seed" in self.parameter_names():
            yield Problem(("pass_seed",), "a parameter is called 'seed' already; rename it.")
