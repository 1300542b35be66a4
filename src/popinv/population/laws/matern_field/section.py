"""The section of the Whittle-Matern field."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from popinv.forward.section import ForwardSection
from popinv.population.laws.field import FieldLaw, FieldStart, field_shape
from popinv.population.laws.section import START, MeanAndStandardDeviation
from popinv.sections.base import Number, Positive
from popinv.sections.messages import Problem, name_problems

if TYPE_CHECKING:
    from popinv.population.laws.base import Law


_BESIDE = "the parameters beside the field"


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
    """The unknowns of a Whittle-Matern field: log-permeability, or logarithm of the stiffness."""

    beside: dict[str, MeanAndStandardDeviation] = Field(
        default_factory=dict,
        description=(
            "The lognormal laws of the parameters in addition to the field (elastodynamics: "
            "`damping`), as `{mean: ..., standard_deviation: ...}` by name."
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
        from popinv.population.laws.matern_field.law import MaternLaw

        field = MaternLaw(*field_shape(forward), self.smoothness)
        if not self.start.beside:
            return self.shifted(field)
        from popinv.population.laws.lognormal.law import LognormalLaw
        from popinv.population.laws.product import ProductLaw

        return self.shifted(ProductLaw(field, LognormalLaw(tuple(self.start.beside))))

    def modules(self) -> tuple[str, ...]:
        """Return the modules of the field's law and of the additional law, if there is one."""
        laws = "popinv.population.laws"
        beside = (f"{laws}.lognormal.law", f"{laws}.product") if self.start.beside else ()
        return (*super().modules(), *beside)

    def spread_names(self) -> tuple[str, ...]:
        """Return the names of the field's unknowns and of the parameters beside it."""
        return (*self.unknowns, *self.start.beside)

    def problems(self, forward: ForwardSection) -> Iterator[Problem]:
        """Yield another field, and names that are not those of the parameters beside it."""
        wrong = list(super().problems(forward))
        yield from wrong
        if not wrong:
            for problem in name_problems(self.start.beside, forward.beside_field(), _BESIDE):
                yield problem.under("start", "beside")

    def value_problems(
        self, values: Mapping[str, Any], forward: ForwardSection | None
    ) -> Iterator[Problem]:
        """Yield faults of true values, those beside the field included."""
        yield from super().value_problems(values, forward)
        beside = values.get("beside")
        if self.start.beside and isinstance(beside, dict):
            for problem in name_problems(beside, tuple(self.start.beside), _BESIDE):
                yield problem.under("beside")
