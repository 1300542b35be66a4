"""The family of noise covariances, and where the descent on it starts."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, field_validator, model_serializer
from pydantic_core import PydanticCustomError
from pydantic_core.core_schema import ValidationInfo

from popinv.config.base import Positive, Section

__all__ = ["DiagonalNoise", "IsotropicNoise", "KernelNoise", "Noise"]

# Where the nugget starts when there is one and nothing is said.
_NUGGET = 0.1


class StandardDeviation(Section):
    """The unknown of uncorrelated noise."""

    standard_deviation: Positive = Field(
        default=0.3,
        description="Standard deviation at every sensor, in the unit of the observations.",
    )


class KernelParameters(Section):
    """The unknowns of noise that is correlated from sensor to sensor."""

    amplitude: Positive = Field(
        default=0.3,
        description="Standard deviation of the correlated part, in the unit of the observations.",
    )
    length: Positive = Field(
        default=0.3, description="Correlation length; the side of the domain is 1."
    )
    nugget: Positive | None = Field(
        default=None,
        description="Standard deviation of the uncorrelated part, where there is one.",
        json_schema_extra={"x-default": f"{_NUGGET} where `nugget: true`"},
    )

    @model_serializer(mode="wrap")
    def _without_absent_nugget(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        values: dict[str, Any] = dump(self)
        return {name: value for name, value in values.items() if value is not None}


class IsotropicNoise(Section):
    """Uncorrelated noise of the same size at every sensor."""

    kind: Literal["isotropic"] = Field(description="One unknown standard deviation.")
    start: StandardDeviation = Field(
        default_factory=StandardDeviation, description="Where the descent starts."
    )


class DiagonalNoise(Section):
    """Uncorrelated noise, each sensor with its own size."""

    kind: Literal["diagonal"] = Field(description="An unknown standard deviation for each sensor.")
    start: StandardDeviation = Field(
        default_factory=StandardDeviation,
        description="Where the descent starts: one number for all sensors.",
    )


class KernelNoise(Section):
    """Stationary noise that is correlated from sensor to sensor."""

    kind: Literal["kernel"] = Field(
        description="A stationary kernel over the places of the sensors."
    )
    kernel: Literal["exponential", "matern32", "matern52", "squared_exponential"] = Field(
        default="exponential", description="How the correlation falls with distance."
    )
    nugget: bool = Field(
        default=False,
        strict=True,
        description="Whether an uncorrelated part is added, of unknown size.",
    )
    start: KernelParameters = Field(
        default_factory=KernelParameters, description="Where the descent starts."
    )

    @field_validator("start")
    @classmethod
    def _nugget_agrees(cls, start: KernelParameters, info: ValidationInfo) -> KernelParameters:
        if "nugget" not in info.data:
            return start
        if info.data["nugget"] and start.nugget is None:
            return start.model_copy(update={"nugget": _NUGGET})
        if start.nugget is not None and not info.data["nugget"]:
            raise PydanticCustomError(
                "nugget", "a nugget is given, but the noise has none; set 'nugget: true' beside it"
            )
        return start


Noise = Annotated[IsotropicNoise | DiagonalNoise | KernelNoise, Field(discriminator="kind")]
