"""The section of damped elastodynamics."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field

from popinv.config.base import Count, NonNegative, NotBoolean, Positive
from popinv.config.forward.base import ForwardSection, Sensors, mode_names, mode_problems
from popinv.config.messages import Problem

__all__ = ["Elastodynamics"]

_PLACES = (0.3, 0.6, 0.9)


def _default_amplitude(values: dict[str, Any]) -> float:
    # A slender beam bends a hundred times more than a bar stretches.
    return 0.01 if values["excitation"] == "load" and values["dimension"] == 2 else 1.0


def _default_sensors(values: dict[str, Any]) -> Sensors:
    beside = [0.5] * (values["dimension"] - 1)
    return Sensors(positions=[[place, *beside] for place in _PLACES])


class Elastodynamics(ForwardSection):
    """Vibration of a bar or of a cantilever, u_tt + damping - div sigma(u) = 0.

    One dimension: a bar of length 1, fixed at x = 0, that vibrates along its axis. Two: a
    cantilever of length 1 in plane strain, clamped at x = 0, that bends. The rest of the boundary
    is free, the density is 1. Young's modulus (`stiffness`) and the mass-proportional damping
    (`damping`) differ from system to system. What is observed is the displacement at the sensors
    (in two dimensions its transverse component) at regular times: all times of the first sensor,
    then all times of the second, and so on.
    """

    kind: Literal["elastodynamics"] = Field(description="Damped vibration of an elastic body.")
    dimension: Annotated[int, Field(ge=1, le=2), NotBoolean] = Field(
        default=1, description="Space dimensions: a bar, or a cantilever in plane strain."
    )
    elements: Annotated[int, Field(ge=3), NotBoolean] = Field(
        default_factory=lambda values: 100 if values["dimension"] == 1 else 20,
        description="Elements along the length: linear ones in one dimension; in two, squares "
        "cut into two quadratic triangles each, with as many across the height as make them "
        "square, but at least two.",
        json_schema_extra={"x-default": "100 in one dimension, 20 in two"},
    )
    height: Annotated[float, Field(gt=0, le=1), NotBoolean] = Field(
        default=0.2, description="Height of the cantilever (two dimensions); its length is 1."
    )
    poisson_ratio: Annotated[float, Field(ge=0, lt=0.5), NotBoolean] = Field(
        default=0.3, description="Poisson's ratio (two dimensions)."
    )
    field: Literal["none", "cosine"] = Field(
        default="none",
        description="The stiffness: one number for each system (`none`), or a random field whose "
        "logarithm is a mean plus a cosine expansion over the length (two dimensions: over "
        "length and height, each scaled to 1).",
    )
    modes: Count = Field(
        default_factory=lambda values: 8 if values["dimension"] == 1 else 4,
        description="Wave numbers of the expansion along each side (field `cosine`); at least 2 "
        "in two dimensions, and never more than there are elements along the length.",
        json_schema_extra={"x-default": "8 in one dimension, 4 in two"},
    )
    excitation: Literal["pluck", "load"] = Field(
        default="pluck",
        description="`pluck`: at t = 0 the body is let go at rest from the static shape under a "
        "force at its end x = 1. `load`: the body is at rest and undeformed, and from t = 0 on a "
        "constant traction acts at its end. Along the bar, across the cantilever.",
    )
    amplitude: Positive = Field(
        default_factory=_default_amplitude,
        description="The deflection of the end that is let go (in two dimensions its mean over "
        "the height), or the traction.",
        json_schema_extra={"x-default": "1, but 0.01 for a load in two dimensions"},
    )
    stiffness_damping: NonNegative = Field(
        default=0.0,
        description="b in the damping a M + b K, the same for all systems; M and K are the "
        "matrices of mass and stiffness, and a is the parameter `damping`.",
    )
    duration: Positive = Field(
        default_factory=lambda values: 8.0 if values["dimension"] == 1 else 60.0,
        description="Time of the last observation. At stiffness 1 the lowest mode has period 4 "
        "in one dimension, and about 6 divided by the height in two.",
        json_schema_extra={"x-default": "8 in one dimension, 60 in two: about two periods"},
    )
    times: Count = Field(
        default=20,
        description="Number of observation times: `duration`/`times`, and so on in equal steps "
        "up to `duration`.",
    )
    steps: Count = Field(
        default_factory=lambda values: 40 if values["dimension"] == 1 else 20,
        description="Time steps from one observation time to the next.",
        json_schema_extra={"x-default": "40 in one dimension, 20 in two"},
    )
    sensors: Sensors = Field(
        default_factory=_default_sensors,
        description="Where each system is observed, in fractions of length and height.",
        json_schema_extra={"x-default": "at 0.3, 0.6 and 0.9 of the length, at half height"},
    )

    def parameter_names(self) -> tuple[str, ...]:
        """Return the names of the stiffness's parameters, and `damping`."""
        if self.field == "none":
            return ("stiffness", "damping")
        return ("mean", *mode_names(self.dimension, self.modes), "damping")

    def observation_count(self) -> int:
        """Return the number of sensors times the number of observation times."""
        return self.sensors.count * self.times

    def time_count(self) -> int:
        """Return the number of observation times."""
        return self.times

    def field_law(self) -> str | None:
        """Return the law that goes with a random stiffness."""
        return "matern_field" if self.field == "cosine" else None

    def beside_field(self) -> tuple[str, ...]:
        """Return the damping, which stands beside a random stiffness."""
        return ("damping",) if self.field == "cosine" else ()

    def default_law(self) -> dict[str, Any]:
        """Return lognormal laws about stiffness 1 and a damping that is felt in two periods."""
        damping = {"mean": -1.6 if self.dimension == 1 else -3.5, "standard_deviation": 0.5}
        if self.field == "cosine":
            return {"kind": "matern_field", "start": {"beside": {"damping": damping}}}
        stiffness = {"mean": 0.0, "standard_deviation": 0.5}
        return {"kind": "lognormal", "start": {"stiffness": stiffness, "damping": damping}}

    def default_noise(self) -> dict[str, Any]:
        """Return uncorrelated noise of the same size everywhere."""
        return {"kind": "isotropic"}

    def problems(self) -> Iterator[Problem]:
        """Yield modes that the mesh cannot hold, keys without use, and misplaced sensors."""
        if self.field == "cosine":
            yield from mode_problems(self.dimension, self.modes, self.elements)
        if self.dimension == 1:
            for key, default in (("height", 0.2), ("poisson_ratio", 0.3)):
                if getattr(self, key) != default:
                    yield Problem(
                        (key,),
                        f"got {getattr(self, key):g}, but only 'dimension: 2' has this key, and "
                        "the dimension is 1.",
                    )
        yield from self.sensors.problems(self.dimension)
