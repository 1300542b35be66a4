"""The section of porous medium flow."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field

from popinv.config.base import Count, NotBoolean, Number, Positive
from popinv.config.forward.base import ForwardSection, Sensors, mode_names, mode_problems
from popinv.config.messages import Problem

__all__ = ["PorousFlow"]


class PorousFlow(ForwardSection):
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
    ranks: Count = Field(
        default=1,
        description="Processes that solve each system together, by MPI; for meshes that outgrow "
        "one process. Answers agree with those of one process up to the tolerance of an "
        "iteration, about 1e-10.",
    )

    def parameter_names(self) -> tuple[str, ...]:
        """Return the names of the field's parameters."""
        first = ["mean"] if self.field == "cosine" else ["log_kappa_1", "log_kappa_2"]
        return (*first, *mode_names(self.dimension, self.modes))

    def observation_count(self) -> int:
        """Return the number of sensors."""
        return self.sensors.count

    def field_law(self) -> str:
        """Return the law that goes with the field."""
        return "level_set_field" if self.field == "level_set" else "matern_field"

    def default_law(self) -> dict[str, Any]:
        """Return the law that goes with the field."""
        return {"kind": self.field_law()}

    def default_noise(self) -> dict[str, Any]:
        """Return noise that is correlated from sensor to sensor."""
        return {"kind": "kernel"}

    def problems(self) -> Iterator[Problem]:
        """Yield modes that the mesh cannot hold, keys without use, and misplaced sensors."""
        yield from mode_problems(self.dimension, self.modes, self.elements)
        if self.ranks > self.elements:
            yield Problem(
                ("ranks",),
                f"got {self.ranks}, but a mesh with {self.elements} elements a side can be shared "
                f"by at most {self.elements} processes.",
            )
        if self.nonlinearity != "power" and self.exponent != 2.0:
            yield Problem(
                ("exponent",),
                f"got {self.exponent:g}, but only 'nonlinearity: power' has an exponent, and the "
                f"nonlinearity is '{self.nonlinearity}'.",
            )
        if self.field != "level_set" and self.sharpness != 10.0:
            yield Problem(
                ("sharpness",),
                f"got {self.sharpness:g}, but only 'field: level_set' has a sharpness, and the "
                f"field is '{self.field}'.",
            )
        yield from self.sensors.problems(self.dimension)
