"""The key ``prior`` of a law and of a noise family: densities of their parameters.

A prior is the density of one natural value, or of a correlation matrix. Mappings nest as in
``start``, and the joined names are the names of the parameters in the results.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, SerializerFunctionWrapHandler, Tag, model_serializer
from pydantic import model_validator as validator
from pydantic_core import PydanticCustomError

from popinv.sections.base import NAMED, ONE, ONE_OR_NAMED, Number, Positive, Section

WEAK = "weak"
"""The word that asks for a weakly informative prior."""
CORRELATIONS = "correlations"
"""The key of a prior that belongs to all correlations, or to their matrix."""


class NormalPrior(Section):
    """A normal density, restricted to the values that the parameter can have."""

    mean: Number = Field(description="Mean.")
    standard_deviation: Positive = Field(description="Standard deviation.")


class LognormalPrior(Section):
    """The density of a positive value whose logarithm is normal."""

    mean: Number = Field(description="Mean of the logarithm.")
    standard_deviation: Positive = Field(description="Standard deviation of the logarithm.")


class HalfStudentPrior(Section):
    """Student's t density about zero, of positive values."""

    degrees_of_freedom: Positive = Field(description="Degrees of freedom.")
    scale: Positive = Field(description="Scale of Student's t.")


class BetaPrior(Section):
    """A beta density on the interval of the parameter: (-1, 1) for a correlation."""

    a: Positive = Field(description="Exponent at the lower end, plus 1.")
    b: Positive = Field(description="Exponent at the upper end, plus 1.")


class PriorDensity(Section):
    """One density, by the name of its family."""

    normal: NormalPrior | None = Field(default=None, description="Density of any parameter.")
    lognormal: LognormalPrior | None = Field(
        default=None, description="Density of a positive parameter."
    )
    half_normal: Positive | None = Field(
        default=None,
        description="Density of a positive parameter: the scale of the normal density about 0.",
    )
    half_student_t: HalfStudentPrior | None = Field(
        default=None, description="Density of a positive parameter."
    )
    beta: BetaPrior | None = Field(default=None, description="Density of a correlation or a share.")
    lkj: Positive | None = Field(
        default=None,
        description="Density det(R)^(eta - 1) of a correlation matrix R: its shape eta.",
    )

    @validator(mode="before")
    @classmethod
    def _known(cls, given: Any) -> Any:
        if isinstance(given, Mapping) and not any(
            difflib.get_close_matches(str(name), FAMILIES, n=1, cutoff=0.51) for name in given
        ):
            raise PydanticCustomError(
                "prior",
                "a prior is one of {families}, such as {example}",
                {"families": ", ".join(FAMILIES), "example": "{half_normal: 0.5}"},
            )
        return given

    @validator(mode="after")
    def _one(self) -> PriorDensity:
        given = [name for name, value in dict(self).items() if value is not None]
        if len(given) != 1:
            raise PydanticCustomError(
                "prior",
                "a prior is one of {families}, but these are {count}",
                {"families": ", ".join(FAMILIES), "count": len(given)},
            )
        return self

    @model_serializer(mode="wrap")
    def _alone(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        values: dict[str, Any] = dump(self)
        return {name: value for name, value in values.items() if value is not None}

    @property
    def family(self) -> str:
        """The name of the family."""
        return next(name for name, value in dict(self).items() if value is not None)

    @property
    def settings(self) -> Any:
        """The section of the family's settings, or its one number."""
        return getattr(self, self.family)


FAMILIES = tuple(PriorDensity.model_fields)


def _form(value: Any) -> str:
    if isinstance(value, PriorDensity):
        return "<density>"
    if not isinstance(value, Mapping):
        return "<one>"
    # Names of families are allowed as names of parameters. These have a prior, or mappings, within.
    numbers = any(not isinstance(each, Mapping | str | PriorDensity) for each in value.values())
    known = any(name in FAMILIES and not _nests(each) for name, each in value.items())
    return "<density>" if known or numbers else "<named>"


def _nests(value: Any) -> bool:
    """Return whether a value is a mapping of priors by name."""
    return isinstance(value, Mapping) and any(
        isinstance(each, Mapping | PriorDensity) or each == WEAK for each in value.values()
    )


_FORMS = Discriminator(_form)
_Word = Annotated[Literal["weak"], ONE]
_Density = Annotated[PriorDensity, Tag("<density>")]
_Innermost = Annotated[_Word | _Density, _FORMS]
_Inner = Annotated[_Word | _Density | Annotated[dict[str, _Innermost], NAMED], _FORMS]
_Outer = Annotated[_Word | _Density | Annotated[dict[str, _Inner], NAMED], _FORMS]
PriorKey = Annotated[_Word | Annotated[dict[str, _Outer], NAMED], ONE_OR_NAMED]


def prior_field(part: str, example: str) -> Any:
    """Return the field ``prior`` of the section of a law, or of a noise family."""
    return Field(
        default=None,
        description=(
            f"Priors on parameters of the {part}, by the names of `start` or of the results, such "
            f"as `{example}`, or `weak` for all. The answer is then the posterior mode, and its "
            "intervals are posterior intervals.\n\n"
            "The densities are `normal: {mean, standard_deviation}`, `lognormal: {mean, "
            "standard_deviation}` of the logarithm, `half_normal: scale`, `half_student_t: "
            "{degrees_of_freedom, scale}`, `beta: {a, b}` of a correlation or a share, and "
            "`correlations: {lkj: shape}` of a correlation matrix. `weak` in the place of a "
            "density takes its scale from `start`. null: no priors."
        ),
        json_schema_extra={"x-type": "name or mapping of parameters to densities"},
    )


def densities(
    prior: str | Mapping[str, Any] | None,
) -> Iterator[tuple[tuple[str, ...], str, PriorDensity | str]]:
    """Yield the path of each density, the name or key that it belongs to, and the density.

    Parameters
    ----------
    prior : mapping or None
        The value of the key ``prior``, but for the word that stands for all.
    """
    for name, value in prior.items() if isinstance(prior, Mapping) else ():
        if isinstance(value, Mapping):
            for path, inner, density in densities(value):
                # `beside` groups parameters, and is no part of their names.
                joined = inner if name == "beside" else f"{name}_{inner}"
                yield (name, *path), joined, density
        else:
            yield (name,), name, value
