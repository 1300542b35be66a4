"""The section of independent noise with a standard deviation for each sensor."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from popinv.forward.section import ForwardSection
from popinv.population.noise.section import (
    START,
    NoiseSection,
    StandardDeviations,
    length_problems,
)
from popinv.sections.messages import Problem

if TYPE_CHECKING:
    from popinv.forward.base import Observations
    from popinv.population.noise.diagonal.noise import DiagonalNoise


class DiagonalSection(NoiseSection):
    """Uncorrelated noise with a standard deviation for each sensor."""

    kind: Literal["diagonal"] = Field(description="An unknown standard deviation for each sensor.")
    start: StandardDeviations = Field(default_factory=StandardDeviations, description=START)

    def value_problems(self, values: Any, forward: ForwardSection) -> Iterator[Problem]:
        """Yield a list that is not one number for each observation."""
        count = forward.observation_count()
        yield from length_problems(values, "standard_deviation", count, f"{count} observations")

    def noise(self, observations: Observations) -> DiagonalNoise:
        """Return the noise model for the observations."""
        from popinv.population.noise.diagonal.noise import DiagonalNoise

        return DiagonalNoise(len(observations))
