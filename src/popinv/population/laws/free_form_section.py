"""The section of a law of no prescribed shape."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from popinv.forward.section import ForwardSection
from popinv.population.laws.parameters import shape_names
from popinv.population.laws.section import (
    TRANSFORMS,
    LawSection,
    MeanAndStandardDeviation,
    TransformKey,
    chosen_transforms,
    transform_problems,
)
from popinv.sections.base import NAMED, ONE, ONE_OR_NAMED, Number, Positive
from popinv.sections.messages import ConfigProblem, listed, shown, value_problems

if TYPE_CHECKING:
    from popinv.population.laws.free_form import FreeFormLaw


_START = (
    "Start of the descent: `{mean: ..., standard_deviation: ...}` for every parameter of the "
    "forward model, by name.\n\n"
    "These are the moments of the transformed parameter, whatever its shape. The coefficients of "
    "the shape start at 0, which is the normal law, or at a number that is given by name, such as "
    "`clearance_shape_1: 0.5`. The truth has the same form."
)


StartValue = Annotated[
    Annotated[MeanAndStandardDeviation, NAMED] | Annotated[Number, ONE], ONE_OR_NAMED
]


class FreeFormSection(LawSection):
    """Parameters whose distribution has no prescribed shape, with curved dependence."""

    kind: Literal["free_form"] = Field(
        description=(
            "A distribution of no prescribed shape. It is close to a normal law of the transformed "
            "parameters where the data say nothing else.\n\n"
            "Results state moments, quantiles and correlations."
        )
    )
    transforms: dict[str, TransformKey] = Field(description=TRANSFORMS)
    knots: int = Field(
        default=13,
        ge=4,
        le=40,
        description="Number of knots of each parameter's shape, evenly spaced between -3 and 3 "
        "standard normal deviations.",
    )
    roughness: Positive = Field(
        default=1.0,
        description=(
            "Prior standard deviation of the change of the shape's logarithmic slope over one "
            "standard normal deviation. A smaller value draws the distribution towards the normal "
            "law."
        ),
    )
    dependent: bool = Field(
        default=True,
        description=(
            "Whether parameters depend on each other. The mean of each depends on the earlier "
            "parameters by a cubic polynomial, and its spread by an exponential."
        ),
    )
    order: list[str] | None = Field(
        default=None,
        description=(
            "The parameters in order. Each may depend on the earlier ones, so causes stand before "
            "effects."
        ),
        json_schema_extra={"x-default": "alphabetical"},
    )
    start: dict[str, StartValue] = Field(description=_START)

    def law(self, forward: ForwardSection) -> FreeFormLaw:
        """Return the law of the forward model's parameters."""
        from popinv.population.laws.free_form import FreeFormLaw

        names = forward.parameter_names()
        transforms = chosen_transforms(self.transforms, names)
        return FreeFormLaw(
            names, transforms, self.knots, self.roughness, self.dependent, self._ordered()
        )

    def value_names(self) -> tuple[str, ...]:
        """Return the keys of true values: the parameters and the coefficients."""
        return (*self._moments(), *self.optional_names())

    def optional_names(self) -> tuple[str, ...]:
        """Return the names of the coefficients."""
        ordered = self._ordered()
        pairs = [(one, other) for k, one in enumerate(ordered) for other in ordered[:k]]
        return shape_names(ordered, self.knots, pairs if self.dependent else [])

    def spread_names(self) -> tuple[str, ...]:
        """Return the names that may each have a spread."""
        return tuple(self._moments())

    def problems(self, forward: ForwardSection) -> Iterator[ConfigProblem]:
        """Yield what does not fit the forward model."""
        names = forward.parameter_names()
        yield from _name_problems(self.start, names, self.optional_names(), ("start",))
        yield from transform_problems(self.transforms, names)
        if self.order is not None and sorted(self.order) != sorted(names):
            yield ConfigProblem(
                ("order",),
                f"got {shown(self.order)}; it must hold each of the forward model's parameters "
                f"once: {listed(names)}.",
            )

    def value_problems(
        self, values: Mapping[str, Any], forward: ForwardSection | None
    ) -> Iterator[ConfigProblem]:
        """Yield faults of true values, with paths that begin at them."""
        wrong = list(value_problems(values, type(self).model_fields["start"].annotation))
        yield from wrong
        if not wrong and forward is not None:
            names = forward.parameter_names()
            yield from _name_problems(values, names, self.optional_names(), ())

    def _moments(self) -> list[str]:
        return [
            name
            for name, value in self.start.items()
            if isinstance(value, MeanAndStandardDeviation)
        ]

    def _ordered(self) -> list[str]:
        # Files may sort the keys of a mapping, so their order has no meaning.
        return sorted(self._moments()) if self.order is None else list(self.order)


def _name_problems(
    values: Mapping[str, Any],
    parameters: tuple[str, ...],
    coefficients: tuple[str, ...],
    path: tuple[str, ...],
) -> Iterator[ConfigProblem]:
    """Yield parameters without moments, and names that the law does not have."""
    for name in parameters:
        if isinstance(values.get(name), int | float | None):
            text = "it must be {mean: ..., standard_deviation: ...}."
            yield ConfigProblem((*path, name), text)
    for name, value in values.items():
        number = isinstance(value, int | float)
        if name in parameters or (number and name in coefficients):
            continue
        known = listed(coefficients if number else parameters)
        what = "coefficients" if number else "parameters"
        yield ConfigProblem(
            (*path, name), f"it is not a name of the law, whose {what} are {known}."
        )
