"""The law of the parameters over the population, and where the descent on it starts."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    Discriminator,
    Field,
    SerializerFunctionWrapHandler,
    Tag,
    model_serializer,
)

from popinv.config.base import NonNegative, Number, Positive, Section

__all__ = [
    "Law",
    "LevelSetFieldLaw",
    "LevelSetFieldParameters",
    "LognormalLaw",
    "MaternFieldLaw",
    "MaternFieldParameters",
    "MeanAndStandardDeviation",
    "NormalLaw",
]


class MeanAndStandardDeviation(Section):
    """The unknowns of one normal, or lognormal, parameter."""

    mean: Number = Field(description="Mean (lognormal: of the logarithm).")
    standard_deviation: Positive = Field(
        description="Standard deviation (lognormal: of the logarithm)."
    )


class MaternFieldParameters(Section):
    """The unknowns of a Whittle-Matern field: log-permeability, or logarithm of the stiffness."""

    mean: Number = Field(default=0.0, description="Mean of the field.")
    standard_deviation: Positive = Field(
        default=1.0, description="Standard deviation of the field."
    )
    length: Positive = Field(
        default=0.5, description="Correlation length; the side of the domain is 1."
    )
    beside: dict[str, MeanAndStandardDeviation] = Field(
        default_factory=dict,
        description="The lognormal laws of the parameters that stand beside the field "
        "(elastodynamics: `damping`), as `{mean: ..., standard_deviation: ...}` by name.",
        json_schema_extra={"x-default": "none"},
    )

    @model_serializer(mode="wrap")
    def _without_empty_beside(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        values: dict[str, Any] = dump(self)
        return {name: value for name, value in values.items() if name != "beside" or value}


class LevelSetFieldParameters(Section):
    """The unknowns of a medium of two materials."""

    inverse_length: Positive = Field(
        default=5.0, description="Inverse correlation length of the level-set function."
    )
    permeability_1: Positive = Field(
        default=0.5,
        description="Permeability of the first material. Exchanging the two gives the same law, "
        "so let the first be the smaller.",
    )
    permeability_2: Positive = Field(
        default=3.0, description="Permeability of the second material."
    )


def _spread_kind(value: Any) -> str:
    return "<each>" if isinstance(value, dict) else "<all>"


Spread = Annotated[
    Annotated[NonNegative, Tag("<all>")] | Annotated[dict[str, NonNegative], Tag("<each>")],
    Discriminator(_spread_kind),
]

_SPREAD = (
    "Standard deviation of the first design about the start, where positive quantities are "
    "counted in logarithms: one number, or one per name of `start`."
)
_START = "Where the descent starts, in the natural scale."
_NAMED_START = (
    "Where the descent starts: `{mean: ..., standard_deviation: ...}` for every parameter of the "
    "forward model, by name. Elastodynamics has `stiffness` and `damping`; Lorenz-96 `forcing`, "
    "with two scales also `coupling`, `time_scale` and `space_scale`; your own simulator those of "
    "`forward.parameters`; porous flow `mean` (field `cosine`) or `log_kappa_1`, `log_kappa_2` "
    "(field `level_set`), then `mode_1`, `mode_2`, ... (in two dimensions `mode_0_1`, "
    "`mode_1_0`, ...)."
)


class MaternFieldLaw(Section):
    """A Gaussian field with a Whittle-Matern spectrum (forward field `cosine`)."""

    kind: Literal["matern_field"] = Field(
        description="Whittle-Matern field: unknown mean, standard deviation and length."
    )
    smoothness: Positive = Field(
        default=1.5, description="Smoothness (nu) of the field, held fixed."
    )
    start: MaternFieldParameters = Field(default_factory=MaternFieldParameters, description=_START)
    spread: Spread = Field(default=0.5, description=_SPREAD)


class LevelSetFieldLaw(Section):
    """Two materials, separated by the zero level of a random field (forward field `level_set`)."""

    kind: Literal["level_set_field"] = Field(
        description="Level-set field: unknown inverse length and two permeabilities."
    )
    start: LevelSetFieldParameters = Field(
        default_factory=LevelSetFieldParameters, description=_START
    )
    spread: Spread = Field(default=0.5, description=_SPREAD)


class NormalLaw(Section):
    """Independent normal parameters."""

    kind: Literal["normal"] = Field(
        description="Independent normal parameters, each with unknown mean and deviation."
    )
    start: dict[str, MeanAndStandardDeviation] = Field(description=_NAMED_START)
    spread: Spread = Field(default=0.5, description=_SPREAD)


class LognormalLaw(Section):
    """Independent lognormal parameters."""

    kind: Literal["lognormal"] = Field(
        description="Independent lognormal parameters; mean and deviation are those of the "
        "logarithm."
    )
    start: dict[str, MeanAndStandardDeviation] = Field(description=_NAMED_START)
    spread: Spread = Field(default=0.5, description=_SPREAD)


Law = Annotated[
    MaternFieldLaw | LevelSetFieldLaw | NormalLaw | LognormalLaw, Field(discriminator="kind")
]
