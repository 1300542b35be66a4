"""The section of stationary noise in time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from popinv.forward.section import ForwardSection
from popinv.population.noise.section import (
    START,
    Correlations,
    NoiseSection,
    length_problems,
    time_problems,
)
from popinv.sections.base import Count, Positive, Section
from popinv.sections.messages import Problem

if TYPE_CHECKING:
    from popinv.forward.base import Observations
    from popinv.population.noise.autoregressive.noise import AutoregressiveNoise


class AutoregressiveParameters(Section):
    """The unknowns of noise that is correlated in time."""

    standard_deviation: Positive = Field(
        default=0.3, description="Standard deviation, in the unit of the observations."
    )
    correlation: Correlations = Field(
        default=0.3,
        description="Correlation from each time to the next. For a higher order, a list of the "
        "partial autocorrelations at lags 1, 2, ...; one number is that at lag 1, the others 0.",
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
            "Number of earlier values on which a value depends. With the number of times less one, "
            "every stationary correlation in time is possible."
        ),
    )
    start: AutoregressiveParameters = Field(
        default_factory=AutoregressiveParameters, description=START
    )

    def problems(self, forward: ForwardSection) -> Iterator[Problem]:
        """Yield a forward model without regular times, or with too few."""
        yield from time_problems(self.kind, self.order, forward)

    def value_problems(self, values: Any, forward: ForwardSection) -> Iterator[Problem]:
        """Yield a list that is not one number for each lag."""
        yield from length_problems(values, "correlation", self.order, f"{self.order} lags (order)")

    def noise(self, observations: Observations) -> AutoregressiveNoise:
        """Return the noise model for the observations, whose times must be regular."""
        from popinv.population.noise.autoregressive.noise import AutoregressiveNoise
        from popinv.population.noise.times import regular_times

        times = regular_times(self.kind, observations)
        return AutoregressiveNoise(len(observations) // times, times, self.order)

    def modules(self) -> tuple[str, ...]:
        """Return the modules of the family, and the module that reads the times."""
        return (*super().modules(), "popinv.population.noise.times")
