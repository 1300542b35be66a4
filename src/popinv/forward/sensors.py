"""The sensors of a forward model: their placement, and their places."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from popinv.sections.base import Entries, Number, Section
from popinv.sections.messages import ConfigProblem, shown
from popinv.seeds import generator


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
    """The sensors of each system: their number and how they are placed, or their positions."""

    positions: list[Point] | None = Field(
        default=None,
        min_length=1,
        description=(
            "Places of the sensors, strictly inside the domain: one number each, or `[x, y]` in "
            "two dimensions. Your own observations need them, in the order of the columns."
        ),
    )
    count: Entries = Field(
        default_factory=_default_count,
        description="Number of sensors.",
        json_schema_extra={"x-default": "50, or as many as there are positions"},
    )
    placement: Literal["random", "regular", "given"] = Field(
        default_factory=_default_placement,
        description=(
            "`random` draws the places uniformly from the study's seed. `regular` sets a grid; in "
            "two dimensions the count is a square. `given` takes `positions`."
        ),
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

    def problems(self, dimension: int) -> Iterator[ConfigProblem]:
        """Yield entries that do not fit a domain of ``dimension`` dimensions."""
        for i, position in enumerate(self.positions or []):
            if len(position) != dimension:
                yield ConfigProblem(
                    ("sensors", "positions", i),
                    f"got {shown(position)}, but in {dimension} dimension(s) a position has "
                    f"{dimension} coordinate(s).",
                )
        if self.placement == "regular" and dimension == 2:
            side = round(self.count**0.5)
            if side**2 != self.count:
                yield ConfigProblem(
                    ("sensors", "count"),
                    f"got {self.count}, but a regular grid in two dimensions has a square number "
                    f"of sensors, such as {max(side, 1) ** 2}.",
                )

    def places(self, dimension: int, seed: int) -> np.ndarray:
        """Return the places of the sensors, shape (count, dimension)."""
        if self.positions is not None:
            return np.array(self.positions, dtype=float).reshape(self.count, dimension)
        if self.placement == "random":
            places = generator(seed, "sensors").uniform(size=(self.count, dimension))
            return places[np.lexsort(places.T[::-1])]
        side = round(self.count ** (1 / dimension))
        line = (np.arange(side) + 0.5) / side
        return np.array(list(itertools.product(line, repeat=dimension)))
