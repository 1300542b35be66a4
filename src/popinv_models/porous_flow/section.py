"""The section of porous medium flow: its keys, and the model that they describe."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import Field

from popinv.forward.base import Observations, Parameter
from popinv.forward.section import FLOPS, ForwardCost, PackagedSection, mode_problems
from popinv.forward.sensors import Sensors
from popinv.forward.wavenumbers import cosine_parameters, level_set_parameters
from popinv.sections.base import Count, NotBoolean, Number, Positive
from popinv.sections.messages import ConfigProblem
from popinv_models.finite_elements.firedrake import FIREDRAKE_MB, check_firedrake

if TYPE_CHECKING:
    import xarray as xr

    from popinv.forward.base import ForwardModel
    from popinv.forward.fields import CosineField, LevelSetField


_QUANTITY = "log-permeability"
_OF_LOAD = {
    "source": "strength of the source",
    "source_x": "x of the load's centre",
    "source_y": "y of the load's centre",
    "source_width": "width of the load",
}
_OF_BUMP = ("source_x", "source_y", "source_width")


DesignKey = Literal["source", "source_x", "source_y", "source_width", "sensors"]


class PorousFlow(PackagedSection):
    """Steady flow in a porous medium, -div(exp(a) kappa(u) grad u) = source.

    The domain is the unit interval or the unit square, u is zero on its boundary, and the
    log-permeability a is a random field. Its parameters are `mean` (field `cosine`), or
    `log_kappa_1` and `log_kappa_2` (field `level_set`), then `mode_1`, `mode_2`, ... (in two
    dimensions `mode_0_1`, `mode_1_0`, ...). The default noise is `{kind: kernel}`, or
    `{kind: isotropic}` with `sensors` in `design`.
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
        description=(
            "The log-permeability: a mean plus a cosine expansion (`cosine`), or two materials "
            "separated by the zero level of a cosine expansion (`level_set`)."
        ),
    )
    modes: Count = Field(
        default_factory=lambda values: 20 if values["dimension"] == 1 else 6,
        description=(
            "Wave numbers of the expansion along each side: at least 2 in two dimensions, and at "
            "most the number of elements."
        ),
        json_schema_extra={"x-default": "20 in one dimension, 6 in two"},
    )
    sharpness: Positive = Field(
        default=10.0,
        description="Steepness of the transition between the two materials (field `level_set`).",
    )
    source: Number = Field(
        default=10.0,
        description="The source term: its value everywhere, or its largest value (source_shape "
        "`gaussian`).",
    )
    source_shape: Literal["uniform", "gaussian"] = Field(
        default="uniform",
        description=(
            "`uniform`: the source is the same everywhere. `gaussian`: it is `source` times "
            "exp(-|x - c|^2 / (2 w^2)).\n\n"
            "The centre c has the coordinates `source_x` and `source_y`. The width w is "
            "`source_width`."
        ),
    )
    source_x: Number = Field(default=0.5, description="x of the centre (source_shape `gaussian`).")
    source_y: Number = Field(
        default=0.5, description="y of the centre, in two dimensions (source_shape `gaussian`)."
    )
    source_width: Positive = Field(
        default=0.1,
        description="Width w, at least two elements (source_shape `gaussian`).",
    )
    nonlinearity: Literal["none", "quadratic", "power"] = Field(
        default="none",
        description="kappa(u): 1 (`none`), 1 + u^2 (`quadratic`), or u to the power `exponent` "
        "(`power`).",
    )
    exponent: Positive = Field(default=2.0, description="The exponent (nonlinearity `power`).")
    sensors: Sensors = Field(default_factory=Sensors, description="The sensors of each system.")
    # The attribute has another name, as `design` is a method of every forward model.
    design_list: list[DesignKey] = Field(
        default_factory=list,
        alias="design",
        description=(
            "Keys whose values are known and differ between systems: `source`, `source_x`, "
            "`source_y`, `source_width`, `sensors`. Their values are columns of the observation "
            "file.\n\n"
            "The columns have the names of the keys. `sensors` gives each system `sensors.count` "
            "sensors at its own places. Their columns are `x_1`, `x_2`, ...; in two dimensions "
            "`x_1`, `y_1`, `x_2`, ..."
        ),
        json_schema_extra={"x-default": "none"},
    )
    ranks: Count = Field(
        default=1,
        description=(
            "MPI processes that solve each system together, for meshes that are too large for one "
            "process. Solutions agree with the solutions of one process to about 1e-10."
        ),
    )

    def parameters(self) -> tuple[Parameter, ...]:
        """Return the parameters of the field."""
        if self.field == "cosine":
            return cosine_parameters(self.dimension, self.modes, _QUANTITY)
        return level_set_parameters(self.dimension, self.modes, _QUANTITY)

    def design(self) -> tuple[Parameter, ...]:
        """Return the entries of the design, in the order of the key."""
        entries: list[Parameter] = []
        for key in self.design_list:
            if key == "sensors":
                entries += self._places()
            else:
                entries.append(Parameter(key, long_name=_OF_LOAD[key]))
        return tuple(entries)

    def own_sensors(self) -> bool:
        """Return whether each system has sensors at places of its own."""
        return "sensors" in self.design_list

    def _places(self) -> list[Parameter]:
        return [
            Parameter(f"{axis}_{j}", long_name=f"{axis} of sensor {j}")
            for j in range(1, self.sensors.count + 1)
            for axis in self.axes()
        ]

    def axes(self) -> tuple[str, ...]:
        """Return the names of the coordinates."""
        return ("x", "y")[: self.dimension]

    def random_field(self) -> CosineField | LevelSetField:
        """Return the log-permeability."""
        from popinv.forward.fields import CosineField, LevelSetField

        if self.field == "cosine":
            return CosineField(self.dimension, self.modes, _QUANTITY)
        return LevelSetField(self.dimension, self.modes, self.sharpness, _QUANTITY)

    def observed(self, seed: int) -> Observations:
        """Return the observations: the pressure at the sensors, in their order.

        Sensors that differ from system to system have their number as the coordinate.
        """
        own = self.own_sensors()
        return Observations(
            coordinates=(
                np.arange(1.0, self.sensors.count + 1)[:, None]
                if own
                else self.sensors.places(self.dimension, seed)
            ),
            coordinate_names=("sensor",) if own else self.axes(),
            name="u",
            long_name="pressure",
        )

    def cost(self) -> ForwardCost:
        """Return the cost of solving."""
        side, parameters = self.elements, len(self.parameters())
        if self.dimension == 1:
            cells, unknowns, bandwidth = side, side, 1
        else:
            cells, unknowns, bandwidth = 2 * side**2, side**2, side + 1
        # Per cell: the mesh, the element matrices and their sorting, and the basis of the field.
        on_cells = cells * (2000 + 24 * parameters)
        return ForwardCost(
            megabytes=FIREDRAKE_MB + 1e-6 * (on_cells + 2 * 8 * unknowns * (bandwidth + 1)),
            # The factorisation is faster than the rate.
            seconds=(0.4 * unknowns * (bandwidth + 5) ** 2 + 40 * cells * parameters) / FLOPS,
            setup_seconds=120 + 2e-4 * cells,
            process_megabytes=FIREDRAKE_MB,
            # A sensor at every vertex, and the functions of the field there.
            state=unknowns * (10 + parameters),
            # Conjugate gradients, with a multigrid hierarchy that is built for each system.
            distributed_megabytes=1e-6 * (on_cells + 2000 * unknowns),
            distributed_seconds=0.1 + 1e-4 * unknowns,
        )

    def check_files(self) -> None:
        """Check that Firedrake is installed."""
        check_firedrake(self.kind)

    def distributed_model(self, seed: int, comm: Any) -> ForwardModel:
        """Return the forward model that the processes of a communicator solve together."""
        model: ForwardModel = self.beside("distributed").DistributedPorousFlow(self, seed, comm)
        return model

    def states(self, seed: int, z: np.ndarray, stage: str, indices: Sequence[int]) -> xr.Dataset:
        """Return log-permeability and pressure everywhere in the domain."""
        found: xr.Dataset = self.beside("states").states(self, seed, z)
        return found

    def field_law(self) -> str:
        """Return the law that goes with the field."""
        return "level_set_field" if self.field == "level_set" else "matern_field"

    def default_law(self) -> dict[str, Any]:
        """Return the law that goes with the field."""
        return {"kind": self.field_law()}

    def default_noise(self) -> dict[str, Any]:
        """Return noise that is correlated from sensor to sensor, where all have the same places."""
        return {"kind": "isotropic" if self.own_sensors() else "kernel"}

    def problems(self) -> Iterator[ConfigProblem]:
        """Yield modes that the mesh cannot hold, keys without use, and misplaced sensors."""
        yield from mode_problems(self.dimension, self.modes, self.elements)
        if self.ranks > self.elements:
            yield ConfigProblem(
                ("ranks",),
                f"got {self.ranks}, but a mesh with {self.elements} elements a side can be shared "
                f"by at most {self.elements} processes.",
            )
        if self.nonlinearity != "power" and not self.is_default("exponent"):
            yield ConfigProblem(
                ("exponent",),
                f"got {self.exponent:g}, but only 'nonlinearity: power' has an exponent, and the "
                f"nonlinearity is '{self.nonlinearity}'.",
            )
        if self.field != "level_set" and not self.is_default("sharpness"):
            yield ConfigProblem(
                ("sharpness",),
                f"got {self.sharpness:g}, but only 'field: level_set' has a sharpness, and the "
                f"field is '{self.field}'.",
            )
        yield from self._load_problems()
        yield from self._sensor_problems()

    def _load_problems(self) -> Iterator[ConfigProblem]:
        """Yield keys of a load that has another shape, and a load that the mesh cannot resolve."""
        for i, key in enumerate(self.design_list):
            if key in self.design_list[:i]:
                yield ConfigProblem(
                    ("design", i), f"got '{key}', which stands in the list already."
                )
            elif key in _OF_BUMP and self.source_shape != "gaussian":
                yield ConfigProblem(
                    ("design", i),
                    f"got '{key}', but the source is uniform; set 'source_shape: gaussian', or "
                    "leave it out.",
                )
            elif key == "source_y" and self.dimension == 1:
                yield ConfigProblem(("design", i), "got 'source_y', but the dimension is 1.")
        for name in _OF_BUMP:
            uniform = self.source_shape != "gaussian"
            if not self.is_default(name) and (uniform or (name, self.dimension) == ("source_y", 1)):
                why = "the source is uniform" if uniform else "the dimension is 1"
                yield ConfigProblem(
                    (name,), f"got {getattr(self, name):g}, but {why}; leave it out."
                )
        narrow = self.source_shape == "gaussian" and self.source_width * self.elements < 2
        if narrow and "source_width" not in self.design_list:
            yield ConfigProblem(
                ("source_width",),
                f"got {self.source_width:g}, but two elements are {2 / self.elements:g}; raise "
                "'elements' or 'source_width'.",
            )

    def _sensor_problems(self) -> Iterator[ConfigProblem]:
        if self.own_sensors() and self.sensors.placement != "random":
            yield ConfigProblem(
                ("sensors",),
                "the sensors stand in 'design', so that each system has places of its own; give "
                "their 'count' alone.",
            )
        yield from self.sensors.problems(self.dimension)
