"""The section of noise whose covariance is a product of one over places and one in time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, get_args

from pydantic import Field, SerializerFunctionWrapHandler, field_validator, model_serializer
from pydantic_core import PydanticCustomError
from pydantic_core.core_schema import ValidationInfo

from popinv.forward.section import ForwardSection
from popinv.population.noise.diagonal.section import DiagonalSection
from popinv.population.noise.full.section import FullSection
from popinv.population.noise.isotropic.section import IsotropicSection
from popinv.population.noise.kernel.section import LENGTH, Kernel, KernelSection
from popinv.population.noise.section import (
    START,
    Correlations,
    NoiseSection,
    Positives,
    length_problems,
    pair_problems,
    present,
    time_problems,
)
from popinv.sections.base import Count, Positive, Section
from popinv.sections.messages import Problem

if TYPE_CHECKING:
    from popinv.forward.base import Observations
    from popinv.population.noise.blocks.noise import BlockNoise


# Default start of the correlations between places.
_PLACE_CORRELATION = 0.0


class BlockParameters(Section):
    """The unknowns of noise that is correlated in place and in time."""

    standard_deviation: Positives = Field(
        default=0.3,
        description="Standard deviation in the unit of the observations: one number for all, or, "
        "with places `diagonal` or `full`, a list with one for each place.",
    )
    length: Positive | None = Field(
        default=None,
        description="Correlation length, if places have a kernel.",
        json_schema_extra={"x-default": f"{LENGTH} where places have a kernel"},
    )
    place_correlation: Correlations | None = Field(
        default=None,
        description="Correlations between places, with places `full`: one number for all pairs, "
        "or a list of (1, 2), (1, 3), (2, 3), (1, 4), ...",
        json_schema_extra={"x-default": f"{_PLACE_CORRELATION:g} with places `full`"},
    )
    time_correlation: Correlations = Field(
        default=0.3,
        description=(
            "Correlation from each time to the next, or a list as for `autoregressive` noise."
        ),
    )

    @model_serializer(mode="wrap")
    def _without_absent(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return present(dump(self))


class BlockSection(NoiseSection):
    """Noise whose covariance is a product of one over places and one in time."""

    kind: Literal["blocks"] = Field(
        description="A covariance over the places (or quantities) times a stationary "
        "autoregression in time, for time series at regular times."
    )
    places: Literal["isotropic", "diagonal", Kernel, "full"] = Field(
        default="isotropic",
        description=(
            "Covariance over the places: independent with one variance, independent, a stationary "
            "kernel of their coordinates, or unrestricted (for few places)."
        ),
    )
    order: Count = Field(
        default=1,
        description="Number of earlier values on which a value depends, the same at every place.",
    )
    start: BlockParameters = Field(default_factory=BlockParameters, description=START)

    @field_validator("start")
    @classmethod
    def _places_agree(cls, start: BlockParameters, info: ValidationInfo) -> BlockParameters:
        if "places" not in info.data:
            return start
        places = info.data["places"]
        for key, kinds, default in (
            ("length", get_args(Kernel), LENGTH),
            ("place_correlation", ("full",), _PLACE_CORRELATION),
        ):
            given = getattr(start, key)
            if places in kinds and given is None:
                start = start.model_copy(update={key: default})
            if places not in kinds and given is not None:
                raise PydanticCustomError(
                    "blocks",
                    "'{key}' is given, but places '{places}' have none; leave it out",
                    {"key": key, "places": places},
                )
        return start

    def problems(self, forward: ForwardSection) -> Iterator[Problem]:
        """Yield a forward model without regular times, or with too few."""
        yield from time_problems(self.kind, self.order, forward)

    def value_problems(self, values: Any, forward: ForwardSection) -> Iterator[Problem]:
        """Yield lists of the wrong length, and correlations that do not go together."""
        lags = f"{self.order} lags (order)"
        yield from length_problems(values, "time_correlation", self.order, lags)
        places = forward.observation_count() // (forward.time_count() or 1)
        if self.places in ("diagonal", "full"):
            yield from length_problems(values, "standard_deviation", places, f"{places} places")
        elif isinstance(values.standard_deviation, list):
            yield Problem(
                ("standard_deviation",),
                f"got a list, but places '{self.places}' have one standard deviation for all.",
            )
        if self.places == "full":
            yield from pair_problems(values, "place_correlation", places)

    def noise(self, observations: Observations) -> BlockNoise:
        """Return the noise model for the observations, whose times must be regular."""
        from popinv.population.noise.blocks.noise import BlockNoise
        from popinv.population.noise.times import regular_times

        times = regular_times(self.kind, observations)
        at_places = replace(
            observations,
            coordinates=observations.coordinates[::times, :-1],
            coordinate_names=observations.coordinate_names[:-1],
            labels=observations.labels[::times],
        )
        return BlockNoise(self._over_places().noise(at_places), times, self.order)

    def modules(self) -> tuple[str, ...]:
        """Return the modules of the family, of its times, and of the part over the places."""
        times = "popinv.population.noise.times"
        return (*super().modules(), times, *self._over_places().modules())

    def _over_places(self) -> NoiseSection:
        """Return the section of the part over the places."""
        if self.places == "isotropic":
            return IsotropicSection(kind=self.places)
        if self.places == "diagonal":
            return DiagonalSection(kind=self.places)
        if self.places == "full":
            return FullSection(kind=self.places, shrinkage=0.0)
        return KernelSection(kind="kernel", kernel=self.places, nugget=False)
