"""The section of noise that is correlated from sensor to sensor."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, field_validator
from pydantic_core.core_schema import ValidationInfo

from popinv.population.noise.section import START, NoiseSection, OptionalParameters
from popinv.sections.base import Positive

if TYPE_CHECKING:
    from popinv.forward.base import Observations
    from popinv.population.noise.kernel import KernelNoise


Kernel = Literal["exponential", "matern32", "matern52", "squared_exponential"]

# Default starts of the length and of the uncorrelated part.
LENGTH = 0.3
_NUGGET = 0.1


class KernelParameters(OptionalParameters):
    """The unknowns of noise that is correlated from sensor to sensor."""

    amplitude: Positive = Field(
        default=0.3,
        description="Standard deviation of the correlated part, in the unit of the observations.",
    )
    length: Positive = Field(
        default=LENGTH,
        description="Correlation length, in the unit of the places of the observations.",
    )
    nugget: Positive | None = Field(
        default=None,
        description="Standard deviation of the uncorrelated part, if there is one.",
        json_schema_extra={"x-default": f"{_NUGGET} where `nugget: true`"},
    )


class KernelSection(NoiseSection):
    """Stationary noise that is correlated from sensor to sensor."""

    pools_observations: ClassVar[bool] = True

    kind: Literal["kernel"] = Field(
        description="A stationary kernel over the places of the sensors."
    )
    kernel: Kernel = Field(
        default="exponential", description="The decay of the correlation with distance."
    )
    nugget: bool = Field(
        default=False,
        strict=True,
        description="`true` adds an uncorrelated part of unknown size.",
    )
    start: KernelParameters = Field(default_factory=KernelParameters, description=START)

    @field_validator("start")
    @classmethod
    def _nugget_agrees(cls, start: KernelParameters, info: ValidationInfo) -> KernelParameters:
        if "nugget" not in info.data:
            return start
        return start.having(
            "nugget",
            info.data["nugget"],
            _NUGGET,
            "a nugget is given, but the noise has none; set 'nugget: true' beside it",
        )

    def noise(self, observations: Observations) -> KernelNoise:
        """Return the noise model for the observations."""
        from popinv.population.noise.kernel import KernelNoise

        return KernelNoise(observations.coordinates, self.kernel, self.nugget)
