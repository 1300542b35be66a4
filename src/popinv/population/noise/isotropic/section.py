"""The section of noise that is the same at every sensor."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from popinv.population.noise.section import START, NoiseSection, StandardDeviation

if TYPE_CHECKING:
    from popinv.forward.base import Observations
    from popinv.population.noise.isotropic.noise import IsotropicNoise


class IsotropicSection(NoiseSection):
    """Uncorrelated noise of the same size at every sensor."""

    pools_observations: ClassVar[bool] = True

    kind: Literal["isotropic"] = Field(description="One unknown standard deviation.")
    start: StandardDeviation = Field(default_factory=StandardDeviation, description=START)

    def noise(self, observations: Observations) -> IsotropicNoise:
        """Return the noise model for the observations."""
        from popinv.population.noise.isotropic.noise import IsotropicNoise

        return IsotropicNoise(len(observations))
