"""The sections of the laws of random fields."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast

from pydantic import ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer

from popinv.forward.section import ForwardSection
from popinv.population.laws.section import (
    START,
    Covariates,
    CovariateSection,
    MeanAndStandardDeviation,
    covariates_field,
)
from popinv.sections.base import Number, Positive, Section
from popinv.sections.messages import ConfigProblem, name_problems

if TYPE_CHECKING:
    from popinv.population.laws.base import Law


_BESIDE = "the parameters beside the field"


class FieldStart(Section):
    """The unknowns of a random field at the start; those beyond its keys are coefficients."""

    model_config = ConfigDict(extra="allow")
    if TYPE_CHECKING:
        # A value here would hide the slot of pydantic's base class.
        __pydantic_extra__: dict[str, Number] = Field(init=False)
    else:
        __pydantic_extra__: dict[str, Number]

    def coefficients(self) -> dict[str, float]:
        """Return the values that have the names of coefficients."""
        return dict(self.__pydantic_extra__ or {})


class FieldLaw(CovariateSection):
    """A law of the random field of the forward model."""

    unknowns: ClassVar[tuple[str, ...]]
    """The unknowns of the field, which may depend on covariates."""

    covariates: Covariates = covariates_field(
        "Covariates on which an unknown of the field depends linearly, such as `{mean: "
        "[porosity]}`. They are columns of the observation file.\n\n"
        "A positive unknown depends on them in its logarithm. A number counts from its mean "
        "over the systems. `rock_sand` is 1 where a column `rock` of text holds `sand`, and 0 "
        "elsewhere. The coefficients start at 0, or at a number that `start` gives by name, "
        "such as `mean_porosity_coefficient: 2`."
    )

    def shifted(self, law: Law) -> Law:
        """Return a law whose unknowns depend on the covariates; the law itself without any."""
        if not self.covariates:
            return law
        from popinv.population.laws.composed import ShiftedLaw

        return ShiftedLaw(law, self.covariate_names(), self.effects())

    def modules(self) -> tuple[str, ...]:
        """Return the modules of the law, with the module of the covariates where there are any."""
        shifted = ("popinv.population.laws.composed",) if self.covariates else ()
        return (*super().modules(), *shifted)

    def value_names(self) -> tuple[str, ...]:
        """Return the keys of true values: the unknowns, and the coefficients."""
        keys = [key for key in self.start.model_dump() if key not in self.start.coefficients()]
        return (*keys, *self.optional_names())

    def spread_names(self) -> tuple[str, ...]:
        """Return the names that may each have a spread."""
        return self.unknowns

    @classmethod
    def kind_problems(cls, kind: str, forward: ForwardSection) -> Iterator[ConfigProblem]:
        """Yield a problem if the law does not match the forward model's field."""
        right = forward.field_law()
        if kind == right:
            return
        field = getattr(forward, "field", "none")
        yield ConfigProblem(
            ("kind",),
            f"got '{kind}', but the field of the forward model is '{field}'; the "
            + (
                f"law that goes with it is '{right}' (or normal, or lognormal)."
                if right
                else "laws that go with that are 'normal' and 'lognormal'."
            ),
        )

    def problems(self, forward: ForwardSection) -> Iterator[ConfigProblem]:
        """Yield a problem if the forward model has another field, and names without a meaning."""
        yield from self.kind_problems(self.kind, forward)
        yield from self.covariate_problems(self.unknowns, "the unknowns of the field")
        names = self.value_names()
        given = dict.fromkeys(names, 0.0) | self.start.coefficients()
        for problem in name_problems(given, names, "the law's unknowns"):
            yield problem.under("start")

    def value_problems(
        self, values: Mapping[str, Any], forward: ForwardSection | None
    ) -> Iterator[ConfigProblem]:
        """Yield faults of true values, with paths that begin at them."""
        yield from super().value_problems(values, forward)
        for name in self.optional_names():
            if name in values and (isinstance(values[name], bool | Mapping)):
                yield ConfigProblem((name,), f"got {values[name]}; it must be a number.")


def field_shape(forward: ForwardSection) -> tuple[int, int]:
    """Return the dimension of the forward model's random field and its modes per direction."""
    section = cast(Any, forward)
    return section.dimension, section.modes


class FieldParameters(FieldStart):
    """The unknowns of the field itself."""

    mean: Number = Field(default=0.0, description="Mean of the field.")
    standard_deviation: Positive = Field(
        default=1.0, description="Standard deviation of the field."
    )
    length: Positive = Field(
        default=0.5, description="Correlation length; the side of the domain is 1."
    )


class MaternFieldParameters(FieldParameters):
    """The unknowns of a Whittle-Matern field, such as the logarithm of a permeability."""

    beside: dict[str, MeanAndStandardDeviation] = Field(
        default_factory=dict,
        description=(
            "The lognormal laws of the parameters in addition to the field, if the forward model "
            "has any: `{mean: ..., standard_deviation: ...}` by name."
        ),
        json_schema_extra={"x-default": "none"},
    )

    @model_serializer(mode="wrap")
    def _without_empty_beside(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        values: dict[str, Any] = dump(self)
        return {name: value for name, value in values.items() if name != "beside" or value}


class MaternFieldSection(FieldLaw):
    """A Gaussian field with a Whittle-Matern spectrum (forward field `cosine`)."""

    unknowns: ClassVar[tuple[str, ...]] = tuple(FieldParameters.model_fields)

    kind: Literal["matern_field"] = Field(
        description="Whittle-Matern field: unknown mean, standard deviation and length."
    )
    smoothness: Positive = Field(
        default=1.5, description="Smoothness (nu) of the field, held fixed."
    )
    start: MaternFieldParameters = Field(default_factory=MaternFieldParameters, description=START)

    def law(self, forward: ForwardSection) -> Law:
        """Return the law of the forward model's field and of the parameters beside it."""
        from popinv.population.laws.fields import MaternLaw

        field = MaternLaw(*field_shape(forward), self.smoothness)
        if not self.start.beside:
            return self.shifted(field)
        from popinv.population.laws.composed import ProductLaw
        from popinv.population.laws.gaussian import lognormal_law

        return self.shifted(ProductLaw(field, lognormal_law(tuple(self.start.beside))))

    def modules(self) -> tuple[str, ...]:
        """Return the modules of the field's law and of the additional law, if there is one."""
        laws = "popinv.population.laws"
        beside = (f"{laws}.gaussian", f"{laws}.composed") if self.start.beside else ()
        return (*super().modules(), *beside)

    def spread_names(self) -> tuple[str, ...]:
        """Return the names of the field's unknowns and of the parameters beside it."""
        return (*self.unknowns, *self.start.beside)

    def problems(self, forward: ForwardSection) -> Iterator[ConfigProblem]:
        """Yield another field, and names that no parameter beside the field has."""
        wrong = list(super().problems(forward))
        yield from wrong
        if not wrong:
            for problem in name_problems(self.start.beside, forward.beside_field(), _BESIDE):
                yield problem.under("start", "beside")

    def value_problems(
        self, values: Mapping[str, Any], forward: ForwardSection | None
    ) -> Iterator[ConfigProblem]:
        """Yield faults of true values, those beside the field included."""
        yield from super().value_problems(values, forward)
        beside = values.get("beside")
        if self.start.beside and isinstance(beside, dict):
            for problem in name_problems(beside, tuple(self.start.beside), _BESIDE):
                yield problem.under("beside")


class LevelSetFieldParameters(FieldStart):
    """The unknowns of a medium of two materials."""

    inverse_length: Positive = Field(
        default=5.0, description="Inverse correlation length of the level-set function."
    )
    permeability_1: Positive = Field(
        default=0.5,
        description=(
            "Permeability of the first material. By convention it is the smaller one, because an "
            "exchange of the two gives the same law."
        ),
    )
    permeability_2: Positive = Field(
        default=3.0, description="Permeability of the second material."
    )


class LevelSetFieldSection(FieldLaw):
    """Two materials, separated by the zero level of a random field (forward field `level_set`)."""

    has_density: ClassVar[bool] = False
    unknowns: ClassVar[tuple[str, ...]] = tuple(LevelSetFieldParameters.model_fields)

    kind: Literal["level_set_field"] = Field(
        description="Level-set field: unknown inverse length and two permeabilities."
    )
    start: LevelSetFieldParameters = Field(
        default_factory=LevelSetFieldParameters, description=START
    )

    def law(self, forward: ForwardSection) -> Law:
        """Return the law of the forward model's field."""
        from popinv.population.laws.fields import LevelSetLaw

        return self.shifted(LevelSetLaw(*field_shape(forward)))
