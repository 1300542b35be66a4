"""The forward model: what is solved, on what mesh, and where it is observed."""

from __future__ import annotations

import itertools
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from popinv.config.base import Count, NotBoolean, Number, Positive, Section

__all__ = ["Forward", "PorousFlow", "Sensors"]


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


class PorousFlow(Section):
    """Steady flow in a porous medium, -div(exp(a) kappa(u) grad u) = source.

    The domain is the unit interval or the unit square, u is zero on its boundary, and the
    log-permeability a is a random field.
    """

    kind: Literal["porous_flow"] = Field(description="Flow in a porous medium.")
    dimension: Annotated[int, Field(ge=1, le=2), NotBoolean] = Field(
        default=1, description="Space dimensions: the unit interval or the unit square."
    )
    elements: Annotated[int, Field(ge=3), NotBoolean] = Field(
        default_factory=lambda values: 200 if values["dimension"] == 1 else 32,
        description="Elements along each side.",
        json_schema_extra={"x-default": "200 in one dimension, 32 in two"},
    )
    field: Literal["cosine", "level_set"] = Field(
        default="cosine",
        description="The log-permeability: a mean plus a cosine expansion, or two materials "
        "separated by the zero level of a cosine expansion.",
    )
    modes: Count = Field(
        default_factory=lambda values: 20 if values["dimension"] == 1 else 6,
        description="Wave numbers of the expansion along each side; at least 2 in two "
        "dimensions, and never more than there are elements.",
        json_schema_extra={"x-default": "20 in one dimension, 6 in two"},
    )
    sharpness: Positive = Field(
        default=10.0,
        description="Steepness of the transition between the two materials (field `level_set`).",
    )
    source: Number = Field(default=10.0, description="The source term, the same everywhere.")
    nonlinearity: Literal["none", "quadratic", "power"] = Field(
        default="none",
        description="kappa(u): 1 (`none`), 1 + u^2 (`quadratic`), or u to the power `exponent` "
        "(`power`).",
    )
    exponent: Positive = Field(default=2.0, description="The exponent (nonlinearity `power`).")
    sensors: Sensors = Field(default_factory=Sensors, description="Where each system is observed.")

    def parameter_names(self) -> tuple[str, ...]:
        """Return the names of the entries of z, as the forward model orders them."""
        if self.dimension == 1:
            modes = [f"mode_{k}" for k in range(1, self.modes + 1)]
        else:
            pairs = [k for k in itertools.product(range(self.modes), repeat=2) if k != (0, 0)]
            pairs.sort(key=lambda k: (k[0] ** 2 + k[1] ** 2, k))
            modes = [f"mode_{i}_{j}" for i, j in pairs]
        first = ["mean"] if self.field == "cosine" else ["log_kappa_1", "log_kappa_2"]
        return (*first, *modes)


# Further forward models join here as a union discriminated by `kind`.
Forward = PorousFlow
