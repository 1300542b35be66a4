"""What the sections of all forward models share: what they are asked, and their sensors."""

from __future__ import annotations

import itertools
from abc import abstractmethod
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from popinv.config.base import Count, Number, Section
from popinv.config.messages import Problem, shown

__all__ = ["ForwardSection", "Sensors", "mode_names", "mode_problems"]


class ForwardSection(Section):
    """What the rest of a study may ask of its forward model, before anything is solved."""

    @model_validator(mode="before")
    @classmethod
    def _shares_no_solve(cls, given: Any) -> Any:
        if isinstance(given, dict) and "ranks" in given and "ranks" not in cls.model_fields:
            raise PydanticCustomError(
                "ranks",
                "this kind of forward model is solved by one process: leave 'ranks' out (only "
                "porous_flow can share a solve among processes)",
            )
        return given

    @abstractmethod
    def parameter_names(self) -> tuple[str, ...]:
        """Return the names of the entries of z, as the forward model orders them."""

    @abstractmethod
    def observation_count(self) -> int:
        """Return the number of observations of each system, d_y."""

    def time_count(self) -> int | None:
        """Return the length of the time series at each place, None if there is no time."""
        return None

    def times_are_regular(self) -> bool:
        """Return whether the times are equally spaced, where there are any."""
        return True

    def has_sampling_error(self) -> bool:
        """Return whether two solves at the same parameters differ by a sampling error."""
        return False

    def field_law(self) -> str | None:
        """Return the kind of the law that goes with the random field, None without a field."""
        return None

    def beside_field(self) -> tuple[str, ...]:
        """Return the parameters that stand beside the field's own, each with a lognormal law."""
        return ()

    def default_law(self) -> dict[str, Any]:
        """Return the section of the default law, empty where the user must give one."""
        return {}

    def default_noise(self) -> dict[str, Any]:
        """Return the section of the default noise."""
        return {"kind": "diagonal"}

    def problems(self) -> Iterator[Problem]:
        """Yield what contradicts itself within the section, with paths that begin at it."""
        yield from ()


def mode_names(dimension: int, modes: int) -> tuple[str, ...]:
    """Return the names of a field's coefficients, in the order of `forward.fields.wavenumbers`."""
    if dimension == 1:
        return tuple(f"mode_{k}" for k in range(1, modes + 1))
    pairs = [k for k in itertools.product(range(modes), repeat=2) if k != (0, 0)]
    pairs.sort(key=lambda k: (k[0] ** 2 + k[1] ** 2, k))
    return tuple(f"mode_{i}_{j}" for i, j in pairs)


def mode_problems(dimension: int, modes: int, elements: int) -> Iterator[Problem]:
    """Yield wave numbers that make no field, or that a mesh of so many elements cannot hold."""
    if modes < dimension:
        yield Problem(("modes",), f"got {modes}, but it must be at least 2 in 2-D.")
    if modes > elements:
        yield Problem(
            ("modes",),
            f"got {modes}, but the mesh has {elements} elements along its length, too few to hold "
            "so many wave numbers; lower 'modes' or raise 'elements'.",
        )


def _as_list(point: Any) -> Any:
    return point if isinstance(point, list | tuple) else [point]


def _inside(point: list[float]) -> list[float]:
    if not all(0 < coordinate < 1 for coordinate in point):
        raise PydanticCustomError(
            "outside",
            "this sensor lies outside the domain; every coordinate is strictly between 0 and 1",
        )
    return point


Point = Annotated[
    list[Number],
    BeforeValidator(_as_list),
    AfterValidator(_inside),
    WithJsonSchema({"anyOf": [{"type": "number"}, {"type": "array", "items": {"type": "number"}}]}),
]


def _default_count(values: dict[str, Any]) -> int:
    return len(values.get("positions") or []) or 50


def _default_placement(values: dict[str, Any]) -> Literal["random", "given"]:
    return "given" if values.get("positions") else "random"


class Sensors(Section):
    """Where each system is observed: so many sensors placed by rule, or at given positions."""

    positions: list[Point] | None = Field(
        default=None,
        min_length=1,
        description="Places of the sensors, strictly inside the domain: one number each in one "
        "dimension, `[x, y]` in two. Needed with your own observations, in the order of the "
        "file's columns.",
    )
    count: Count = Field(
        default_factory=_default_count,
        description="Number of sensors.",
        json_schema_extra={"x-default": "50, or as many as there are positions"},
    )
    placement: Literal["random", "regular", "given"] = Field(
        default_factory=_default_placement,
        description="`random` draws the places uniformly from the study's seed, `regular` sets "
        "them on a grid (in two dimensions the count must be a square), `given` takes "
        "`positions`.",
        json_schema_extra={"x-default": "random, or given where there are positions"},
    )

    @model_validator(mode="after")
    def _agree(self) -> Sensors:
        if self.positions is None:
            if self.placement == "given":
                raise PydanticCustomError("sensors", "placement 'given' needs 'positions'")
        elif self.placement != "given":
            raise PydanticCustomError(
                "sensors", "give either 'positions', or 'count' and 'placement', not both"
            )
        elif self.count != len(self.positions):
            raise PydanticCustomError(
                "sensors",
                "'count' is {count}, but {given} positions are given; leave 'count' out",
                {"count": self.count, "given": len(self.positions)},
            )
        return self

    def problems(self, dimension: int) -> Iterator[Problem]:
        """Yield what does not fit a domain of so many dimensions."""
        for i, position in enumerate(self.positions or []):
            if len(position) != dimension:
                yield Problem(
                    ("sensors", "positions", i),
                    f"got {shown(position)}, but in {dimension} dimension(s) a position has "
                    f"{dimension} coordinate(s).",
                )
        if self.placement == "regular" and dimension == 2:
            side = round(self.count**0.5)
            if side**2 != self.count:
                yield Problem(
                    ("sensors", "count"),
                    f"got {self.count}, but a regular grid in two dimensions has a square number "
                    f"of sensors, such as {max(side, 1) ** 2}.",
                )
