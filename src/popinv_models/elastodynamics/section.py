"""The section of damped elastodynamics: its keys, and the model that they describe."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import Field

from popinv.forward.base import Observations, Parameter
from popinv.forward.section import (
    FLOPS,
    MOST_STEPS,
    ForwardCost,
    PackagedSection,
    mode_problems,
)
from popinv.forward.sensors import Sensors
from popinv.forward.wavenumbers import cosine_parameters
from popinv.sections.base import MOST_ENTRIES, Count, Entries, NonNegative, NotBoolean, Positive
from popinv.sections.messages import ConfigProblem
from popinv_models.finite_elements.firedrake import FIREDRAKE_MB, check_firedrake

if TYPE_CHECKING:
    import xarray as xr

    from popinv.forward.base import ForwardModel
    from popinv.forward.fields import CosineField


_DAMPING = Parameter("damping", long_name="mass-proportional damping")
_STIFFNESS = Parameter("stiffness", long_name="Young's modulus")
_QUANTITY = "logarithm of the stiffness"
_PLACES = (0.3, 0.6, 0.9)

# With this many unknowns, all modes take less than a minute, and each n x n matrix 72 MB.
MOST_MODES = 3000


def _default_amplitude(values: dict[str, Any]) -> float:
    # A slender beam bends a hundred times more than a bar stretches.
    return 0.01 if values["excitation"] == "load" and values["dimension"] == 2 else 1.0


def _default_sensors(values: dict[str, Any]) -> Sensors:
    beside = [0.5] * (values["dimension"] - 1)
    return Sensors(positions=[[place, *beside] for place in _PLACES])


class Elastodynamics(PackagedSection):
    """Vibration of a bar or of a cantilever, u_tt + damping - div sigma(u) = 0.

    One dimension: a bar of length 1, fixed at x = 0, that vibrates along its axis. Two: a
    cantilever of length 1 in plane strain, clamped at x = 0, that bends. The rest of the boundary
    is free, the density is 1. Young's modulus (`stiffness`) and the mass-proportional damping
    (`damping`) differ between systems. The displacement at the sensors is observed at regular times
    (in two dimensions its transverse component): all times of the first sensor, then all times of
    the second, and so on. With a random field, the law of `damping` is in `beside`. The default
    noise is `{kind: isotropic}`.
    """

    kind: Literal["elastodynamics"] = Field(description="Damped vibration of an elastic body.")
    dimension: Annotated[int, Field(ge=1, le=2), NotBoolean] = Field(
        default=1, description="Space dimensions: a bar, or a cantilever in plane strain."
    )
    elements: Annotated[int, Field(ge=3), NotBoolean] = Field(
        default_factory=lambda values: 100 if values["dimension"] == 1 else 20,
        description=(
            "Elements along the length. In two dimensions, the number across the height makes them "
            "square, and is at least two.\n\n"
            "In one dimension the elements are linear. In two dimensions they are squares, each "
            "cut into two quadratic triangles."
        ),
        json_schema_extra={"x-default": "100 in one dimension, 20 in two"},
    )
    height: Annotated[float, Field(gt=0, le=1), NotBoolean] = Field(
        default=0.2, description="Height of the cantilever (two dimensions). Its length is 1."
    )
    poisson_ratio: Annotated[float, Field(ge=0, lt=0.5), NotBoolean] = Field(
        default=0.3, description="Poisson's ratio (two dimensions)."
    )
    field: Literal["none", "cosine"] = Field(
        default="none",
        description=(
            "`none`: the stiffness is one number for each system. `cosine`: it is a random "
            "field.\n\n"
            "The logarithm of the field is a mean plus a cosine expansion over the length. In two "
            "dimensions, the expansion is over length and height, each scaled to 1."
        ),
    )
    modes: Count = Field(
        default_factory=lambda values: 8 if values["dimension"] == 1 else 4,
        description=(
            "Wave numbers of the expansion along each side (field `cosine`): at least 2 in two "
            "dimensions, and at most the number of elements along the length."
        ),
        json_schema_extra={"x-default": "8 in one dimension, 4 in two"},
    )
    excitation: Literal["pluck", "load"] = Field(
        default="pluck",
        description=(
            "`pluck`: the body is released at rest at t = 0. `load`: a constant traction acts on "
            "its end from t = 0 on.\n\n"
            "`pluck` starts from the static shape under a force at the end x = 1. `load` starts at "
            "rest and undeformed. Both act along the bar, or across the cantilever."
        ),
    )
    amplitude: Positive = Field(
        default_factory=_default_amplitude,
        description=(
            "`pluck`: the deflection of the end before its release (in two dimensions its mean "
            "over the height). `load`: the traction."
        ),
        json_schema_extra={"x-default": "1, but 0.01 for a load in two dimensions"},
    )
    # The attribute has another name, as `design` is a method of every forward model.
    design_list: Annotated[list[Literal["amplitude"]], Field(max_length=1)] = Field(
        default_factory=list,
        alias="design",
        description=(
            "`[amplitude]` states that the amplitude is known and differs between systems. It is "
            "the column `amplitude` of the observation file."
        ),
        json_schema_extra={"x-default": "none"},
    )
    stiffness_damping: NonNegative = Field(
        default=0.0,
        description=(
            "b in the damping a M + b K, equal in all systems. M and K are the mass and stiffness "
            "matrices, and a is the parameter `damping`."
        ),
    )
    duration: Positive = Field(
        default_factory=lambda values: 8.0 if values["dimension"] == 1 else 60.0,
        description="Time of the last observation. At stiffness 1 the lowest mode has period 4 "
        "in one dimension, and about 6 divided by the height in two.",
        json_schema_extra={"x-default": "8 in one dimension, 60 in two: about two periods"},
    )
    times: Entries = Field(
        default=20,
        description="Number of observation times, in equal steps from `duration`/`times` to "
        "`duration`.",
    )
    steps: Count = Field(
        default_factory=lambda values: 40 if values["dimension"] == 1 else 20,
        description="Time steps from one observation time to the next.",
        json_schema_extra={"x-default": "40 in one dimension, 20 in two"},
    )
    sensors: Sensors = Field(
        default_factory=_default_sensors,
        description="The sensors of each system. Places are fractions of length and height.",
        json_schema_extra={"x-default": "at 0.3, 0.6 and 0.9 of the length, at half height"},
    )

    def parameters(self) -> tuple[Parameter, ...]:
        """Return the stiffness, or the parameters of its field, and the damping."""
        if self.field == "none":
            return (_STIFFNESS, _DAMPING)
        return (*cosine_parameters(self.dimension, self.modes, _QUANTITY), _DAMPING)

    def design(self) -> tuple[Parameter, ...]:
        """Return the amplitude, if it differs from system to system."""
        return tuple(Parameter(key, long_name="amplitude of the load") for key in self.design_list)

    def random_field(self) -> CosineField | None:
        """Return the logarithm of the stiffness, None for a uniform stiffness."""
        if self.field == "none":
            return None
        from popinv.forward.fields import CosineField

        return CosineField(self.dimension, self.modes, _QUANTITY)

    def observation_times(self) -> np.ndarray:
        """Return the observation times, k duration / times for k = 1, ..., times."""
        return self.duration * np.arange(1, self.times + 1) / self.times

    def observed(self, seed: int) -> Observations:
        """Return the observations: the displacement at each sensor in turn, at all times."""
        times = self.observation_times()
        size = np.array([1.0, self.height])[: self.dimension]
        places = self.sensors.places(self.dimension, seed) * size
        return Observations(
            coordinates=np.column_stack(
                [np.repeat(places, len(times), axis=0), np.tile(times, len(places))]
            ),
            coordinate_names=(*("x", "y")[: self.dimension], "t"),
            name="u" if self.dimension == 1 else "u_y",
            long_name="displacement" if self.dimension == 1 else "transverse displacement",
        )

    def has_modes(self) -> bool:
        """Return whether bodies are solved mode by mode: uniform ones of not too many unknowns."""
        return self.field == "none" and self._size()[1] <= MOST_MODES

    def _size(self) -> tuple[int, int, int]:
        """Return the numbers of cells, of unknowns and of subdiagonals."""
        side = self.elements
        if self.dimension == 1:
            return side, side, 1
        # Squares of two quadratic triangles each, with two components at every node.
        across = max(2, round(side * self.height))
        return 2 * side * across, 2 * (2 * side) * (2 * across + 1), 6 * (2 * across + 1)

    def cost(self) -> ForwardCost:
        """Return the cost of solving."""
        cells, unknowns, bandwidth = self._size()
        steps = self.times * self.steps
        on_cells = cells * (20000 + 24 * len(self.parameters()))
        megabytes, setup = 6e-6 * 8 * unknowns * (bandwidth + 1), 0.0
        seconds = 2 * unknowns * (bandwidth + 5) * (2 * bandwidth + 10 * steps) / FLOPS
        if self.has_modes():
            megabytes, setup = 6e-6 * 8 * unknowns**2, 15 * unknowns**3 / FLOPS
            seconds = unknowns * (50 * self.steps.bit_length() + 20 * self.times) / FLOPS
        return ForwardCost(
            megabytes=FIREDRAKE_MB + 1e-6 * on_cells + megabytes,
            seconds=seconds,
            setup_seconds=120 + 1e-3 * cells + setup,
            # States are at a few hundred times, or at the observation times.
            state=3.0 * unknowns * max(400, self.times),
        )

    def model(self, seed: int) -> ForwardModel:
        """Return the solver, of systems with amplitudes of their own if these are the design."""
        if not self.design_list:
            return super().model(seed)
        own: ForwardModel = self.beside("amplitudes").OwnAmplitudes(self, seed)
        return own

    def solver_modules(self) -> tuple[str, ...]:
        """Return the module of systems with amplitudes of their own."""
        return ("popinv_models.elastodynamics.amplitudes",) if self.design_list else ()

    def check_files(self) -> None:
        """Check that Firedrake is installed."""
        check_firedrake(self.kind)

    def states(self, seed: int, z: np.ndarray, stage: str, indices: Sequence[int]) -> xr.Dataset:
        """Return the displacement everywhere in the body, at regular times."""
        found: xr.Dataset = self.beside("states").states(self, seed, z)
        return found

    def field_law(self) -> str | None:
        """Return the law that goes with a random stiffness."""
        return "matern_field" if self.field == "cosine" else None

    def beside_field(self) -> tuple[str, ...]:
        """Return the damping, which is a parameter in addition to a random stiffness."""
        return ("damping",) if self.field == "cosine" else ()

    def default_law(self) -> dict[str, Any]:
        """Return lognormal laws about stiffness 1 and a damping noticeable in two periods."""
        damping = {"mean": -1.6 if self.dimension == 1 else -3.5, "standard_deviation": 0.5}
        if self.field == "cosine":
            return {"kind": "matern_field", "start": {"beside": {"damping": damping}}}
        stiffness = {"mean": 0.0, "standard_deviation": 0.5}
        return {"kind": "lognormal", "start": {"stiffness": stiffness, "damping": damping}}

    def default_noise(self) -> dict[str, Any]:
        """Return uncorrelated noise of the same size everywhere."""
        return {"kind": "isotropic"}

    def problems(self) -> Iterator[ConfigProblem]:
        """Yield modes that the mesh cannot hold, keys without use, and misplaced sensors."""
        if self.field == "cosine":
            yield from mode_problems(self.dimension, self.modes, self.elements)
        if self.dimension == 1:
            for key in ("height", "poisson_ratio"):
                if not self.is_default(key):
                    yield ConfigProblem(
                        (key,),
                        f"got {getattr(self, key):g}, but only 'dimension: 2' has this key, and "
                        "the dimension is 1.",
                    )
        if self.times * self.sensors.count > MOST_ENTRIES:
            yield ConfigProblem(
                ("times",),
                f"got {self.times}, but with {self.sensors.count} sensors these are "
                f"{self.times * self.sensors.count:,} observations of each system, and at most "
                f"{MOST_ENTRIES:,} can be used.",
            )
        if self.times * self.steps > MOST_STEPS:
            yield ConfigProblem(
                ("steps",),
                f"got {self.steps}, with which a system takes {self.times * self.steps:,} time "
                f"steps; at most {MOST_STEPS:,} are made.",
            )
        yield from self.sensors.problems(self.dimension)
