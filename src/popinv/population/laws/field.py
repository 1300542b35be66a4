"""The parts that the laws of random fields share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, cast

from pydantic import ConfigDict, Field

from popinv.forward.section import ForwardSection
from popinv.population.laws.section import LawSection
from popinv.population.laws.structure import coefficient_names
from popinv.sections.base import Number, Section
from popinv.sections.messages import Problem, name_problems

if TYPE_CHECKING:
    from popinv.population.laws.base import Law


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


class FieldLaw(LawSection):
    """A law of the random field of the forward model."""

    unknowns: ClassVar[tuple[str, ...]]
    """The unknowns of the field, which may depend on covariates."""

    covariates: dict[str, Annotated[list[str], Field(min_length=1)]] = Field(
        default_factory=dict,
        description="Covariates that an unknown of the field depends on, linearly (a positive one "
        "in its logarithm), such as `{mean: [porosity]}`. They are columns of the observation "
        "file. A number counts from its mean over the systems. `rock_sand` is 1 where a column "
        "`rock` of text holds `sand`, and 0 elsewhere. The coefficients start at 0, or at a number "
        "that `start` gives by name, such as `mean_porosity_coefficient: 2`.",
        json_schema_extra={"x-default": "none"},
    )

    def effects(self) -> list[tuple[str, str]]:
        """Return the pairs of an unknown and a covariate that it depends on."""
        # Files may sort the keys of a mapping, so that their order says nothing.
        return [(name, each) for name, every in sorted(self.covariates.items()) for each in every]

    def covariate_names(self) -> tuple[str, ...]:
        """Return the covariates, each once."""
        return tuple(dict.fromkeys(covariate for _, covariate in self.effects()))

    def coefficient_names(self) -> tuple[str, ...]:
        """Return the names of the coefficients."""
        return coefficient_names(self.effects(), ())

    def shifted(self, law: Law) -> Law:
        """Return a law whose unknowns depend on the covariates; the law itself without any."""
        if not self.covariates:
            return law
        from popinv.population.laws.shifted import ShiftedLaw

        return ShiftedLaw(law, self.covariate_names(), self.effects())

    def modules(self) -> tuple[str, ...]:
        """Return the modules of the law, and that of the covariates where there are any."""
        shifted = ("popinv.population.laws.shifted",) if self.covariates else ()
        return (*super().modules(), *shifted)

    def value_names(self) -> tuple[str, ...]:
        """Return the keys of true values: the unknowns, and the coefficients."""
        keys = [key for key in self.start.model_dump() if key not in self.start.coefficients()]
        return (*keys, *self.coefficient_names())

    def values(self, given: Mapping[str, Any] | Section) -> dict[str, float]:
        """Return values by name; coefficients that are not given are 0."""
        return dict.fromkeys(self.coefficient_names(), 0.0) | super().values(given)

    def spreads(self, names: tuple[str, ...]) -> list[float]:
        """Return the spread of each of the law's parameters, 0 for coefficients."""
        own = tuple(name for name in names if name not in self.coefficient_names())
        return [*super().spreads(own), *[0.0] * (len(names) - len(own))]

    def spread_names(self) -> tuple[str, ...]:
        """Return the names that may each have a spread."""
        return self.unknowns

    @classmethod
    def kind_problems(cls, kind: str, forward: ForwardSection) -> Iterator[Problem]:
        """Yield a problem if the law does not match the forward model's field."""
        right = forward.field_law()
        if kind == right:
            return
        field = getattr(forward, "field", "none")
        yield Problem(
            ("kind",),
            f"got '{kind}', but the field of the forward model is '{field}'; the "
            + (
                f"law that goes with it is '{right}' (or normal, or lognormal)."
                if right
                else "laws that go with that are 'normal' and 'lognormal'."
            ),
        )

    def problems(self, forward: ForwardSection) -> Iterator[Problem]:
        """Yield a problem if the forward model has another field, and names without a meaning."""
        yield from self.kind_problems(self.kind, forward)
        for name in self.covariates:
            if name not in self.unknowns:
                yield Problem(
                    ("covariates", name),
                    f"it must be one of the unknowns of the field: {', '.join(self.unknowns)}.",
                )
        names = self.value_names()
        given = dict.fromkeys(names, 0.0) | self.start.coefficients()
        for problem in name_problems(given, names, "the law's unknowns"):
            yield problem.under("start")

    def value_problems(
        self, values: Mapping[str, Any], forward: ForwardSection | None
    ) -> Iterator[Problem]:
        """Yield faults of true values, with paths that begin at them."""
        yield from super().value_problems(values, forward)
        for name in self.coefficient_names():
            if name in values and (isinstance(values[name], bool | Mapping)):
                yield Problem((name,), f"got {values[name]}; it must be a number.")


def field_shape(forward: ForwardSection) -> tuple[int, int]:
    """Return the dimension of the forward model's random field and its modes per direction."""
    section = cast(Any, forward)
    return section.dimension, section.modes
