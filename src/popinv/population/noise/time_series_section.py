"""The sections of noise of time series."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

from pydantic import Field, field_validator
from pydantic_core.core_schema import ValidationInfo

from popinv.forward.section import ForwardSection
from popinv.population.noise.kernel_section import LENGTH, Kernel, KernelSection
from popinv.population.noise.section import (
    START,
    Correlations,
    NoiseSection,
    OptionalParameters,
    Positives,
    length_problems,
    pair_problems,
    time_problems,
)
from popinv.population.noise.unstructured_section import (
    DiagonalSection,
    FullSection,
    IsotropicSection,
)
from popinv.sections.base import Count, Positive, Section
from popinv.sections.messages import ConfigProblem

if TYPE_CHECKING:
    from popinv.forward.base import Observations
    from popinv.population.noise.time_series import AutoregressiveNoise, BlockNoise


# Default start of the correlations between places.
_PLACE_CORRELATION = 0.0


class AutoregressiveParameters(Section):
    """The unknowns of noise that is correlated in time."""

    standard_deviation: Positive = Field(
        default=0.3, description="Standard deviation, in the unit of the observations."
    )
    correlation: Correlations = Field(
        default=0.3,
        description=(
            "Correlation from each time to the next. For a higher order, a list of the partial "
            "autocorrelations at lags 1, 2, ...; one number is for lag 1, and the others are 0."
        ),
    )


class AutoregressiveSection(NoiseSection):
    """Stationary noise in time at each place, independent from place to place."""

    pools_observations: ClassVar[bool] = True

    kind: Literal["autoregressive"] = Field(
        description="A stationary autoregression in time, for time series at regular times."
    )
    order: Count = Field(
        default=1,
        description=(
            "Number of earlier values on which a value depends. The number of times minus one "
            "makes every stationary correlation in time possible."
        ),
    )
    start: AutoregressiveParameters = Field(
        default_factory=AutoregressiveParameters, description=START
    )

    def problems(self, forward: ForwardSection) -> Iterator[ConfigProblem]:
        """Yield a forward model without regular times, or with too few."""
        yield from time_problems(self.kind, self.order, forward)

    def value_problems(self, values: Any, forward: ForwardSection) -> Iterator[ConfigProblem]:
        """Yield a list that is not one number for each lag."""
        yield from length_problems(values, "correlation", self.order, f"{self.order} lags (order)")

    def noise(self, observations: Observations) -> AutoregressiveNoise:
        """Return the noise model for the observations, whose times must be regular."""
        from popinv.population.noise.time_series import AutoregressiveNoise, regular_times

        times = regular_times(self.kind, observations)
        return AutoregressiveNoise(len(observations) // times, times, self.order)


class BlockParameters(OptionalParameters):
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
        description="Number of earlier values on which a value depends, equal at every place.",
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
            refusal = f"'{key}' is given, but places '{places}' have none; leave it out"
            start = start.having(key, places in kinds, default, refusal)
        return start

    def problems(self, forward: ForwardSection) -> Iterator[ConfigProblem]:
        """Yield a forward model without regular times, or with too few."""
        yield from time_problems(self.kind, self.order, forward)

    def value_problems(self, values: Any, forward: ForwardSection) -> Iterator[ConfigProblem]:
        """Yield lists of the wrong length, and correlations that do not go together."""
        lags = f"{self.order} lags (order)"
        yield from length_problems(values, "time_correlation", self.order, lags)
        places = forward.observation_count() // (forward.time_count() or 1)
        if self.places in ("diagonal", "full"):
            yield from length_problems(values, "standard_deviation", places, f"{places} places")
        elif isinstance(values.standard_deviation, list):
            yield ConfigProblem(
                ("standard_deviation",),
                f"got a list, but places '{self.places}' have one standard deviation for all.",
            )
        if self.places == "full":
            yield from pair_problems(values, "place_correlation", places)

    def noise(self, observations: Observations) -> BlockNoise:
        """Return the noise model for the observations, whose times must be regular."""
        from popinv.population.noise.time_series import BlockNoise, regular_times

        times = regular_times(self.kind, observations)
        at_places = replace(
            observations,
            coordinates=observations.coordinates[::times, :-1],
            coordinate_names=observations.coordinate_names[:-1],
            labels=observations.labels[::times],
        )
        return BlockNoise(self._over_places().noise(at_places), times, self.order)

    def modules(self) -> tuple[str, ...]:
        """Return the modules of the family, and of the part over the places."""
        return (*super().modules(), *self._over_places().modules())

    def _over_places(self) -> NoiseSection:
        """Return the section of the part over the places."""
        if self.places == "isotropic":
            return IsotropicSection(kind=self.places)
        if self.places == "diagonal":
            return DiagonalSection(kind=self.places)
        if self.places == "full":
            return FullSection(kind=self.places, shrinkage=0.0)
        return KernelSection(kind="kernel", kernel=self.places, nugget=False)
