"""The section of a mixture of normal laws."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError

from popinv.forward.section import ForwardSection
from popinv.population.laws.parameters import Components, component_name, mixture_names
from popinv.population.laws.section import (
    TRANSFORMS,
    Covariates,
    CovariateSection,
    MeanAndStandardDeviation,
    TransformKey,
    chosen_transforms,
    covariates_field,
    structure_problems,
    transform_problems,
)
from popinv.sections.base import NAMED, ONE, ONE_OR_NAMED, Count, Number, Positive, Section
from popinv.sections.messages import ConfigProblem, listed, name_problems, shown, value_problems

if TYPE_CHECKING:
    from popinv.population.laws.mixture import MixtureLaw


_START = (
    "Start of the descent, for each component: its `weight`, and `{mean: ..., standard_deviation: "
    "...}` for every parameter of the forward model, by name.\n\n"
    "The components are `component_1`, `component_2`, ...: `component_1: {weight: 0.6, clearance: "
    "{mean: 1, standard_deviation: 0.2}}`. The moments belong to the transformed parameters. The "
    "weights add up to 1. The means of the parameter `ordered_by` increase from component to "
    "component. The truth has the same form. Results state these means as increments "
    "(`component_2_clearance_mean_increment`), and a weight after the first as a share of the rest "
    "(`component_2_weight_of_rest`). The last weight follows from the others. Coefficients start "
    "at 0, or at a number that is given by name, beside the components."
)
_WEIGHT = "weight"
# The weights of a file are rounded.
_TOLERANCE = 1e-6


ComponentValue = Annotated[
    Annotated[MeanAndStandardDeviation, NAMED] | Annotated[Positive, ONE], ONE_OR_NAMED
]

StartValue = Annotated[
    Annotated[dict[str, ComponentValue], NAMED] | Annotated[Number, ONE], ONE_OR_NAMED
]


class MixtureSection(CovariateSection):
    """A population of several kinds of systems, each with normal parameters after a transform."""

    kind: Literal["mixture"] = Field(
        description=(
            "Several components with weights. In each, the parameters are independent, and normal "
            "after a transform."
        )
    )
    components: Count = Field(default=2, description="Number of components.")
    transforms: dict[str, TransformKey] = Field(description=TRANSFORMS)
    ordered_by: str | None = Field(
        default=None,
        description=(
            "The parameter whose means number the components: they increase from component to "
            "component. Choose the one whose means differ most. A model with one parameter needs "
            "none."
        ),
    )
    covariates: Covariates = covariates_field(
        "Covariates on which the means of a parameter depend linearly, such as `{clearance: "
        "[weight]}`, as for the other laws. A covariate shifts the means of all components alike."
    )
    start: dict[str, StartValue] = Field(description=_START)

    @field_validator("start", mode="before")
    @classmethod
    def _of_components(cls, start: Any) -> Any:
        """Refuse the start of a law without components."""
        if not isinstance(start, dict):
            return start
        for name, given in start.items():
            # A parameter may be called `mean`, but its moments are no number.
            if isinstance(given, dict) and any(
                isinstance(given.get(moment), int | float)
                for moment in MeanAndStandardDeviation.model_fields
            ):
                raise PydanticCustomError(
                    "components",
                    "'{name}' has moments of its own, but each component has a weight, and the "
                    "moments of every parameter: {example}",
                    {
                        "name": name,
                        "example": f"component_1: {{weight: 0.5, {name}: {{mean: ..., "
                        "standard_deviation: ...}, ...}",
                    },
                )
        return start

    def law(self, forward: ForwardSection) -> MixtureLaw:
        """Return the law of the forward model's parameters."""
        from popinv.population.laws.mixture import MixtureLaw

        names = forward.parameter_names()
        transforms = chosen_transforms(self.transforms, names)
        covariates = self.covariate_names(), self.effects()
        return MixtureLaw(names, transforms, self.components, self.ordered_by, *covariates)

    def values(self, given: Mapping[str, Any] | Section) -> dict[str, float]:
        """Return start or true values by the names of the law's parameters."""
        assert isinstance(given, Mapping)
        names = [name for name in given[component_name(0)] if name != _WEIGHT]
        leader = 0 if self.ordered_by is None else names.index(self.ordered_by)
        ordered = [given[name] for name in self._component_names()]
        weights = np.array([float(each.get(_WEIGHT, 1.0)) for each in ordered])
        means, deviations = (
            np.array([[_moment(each[name], key) for name in names] for each in ordered])
            for key in MeanAndStandardDeviation.model_fields
        )
        natural = Components(weights, means, deviations).natural(leader)
        law_names = mixture_names(names, self.components, leader)
        coefficients = {name: float(given.get(name, 0.0)) for name in self.optional_names()}
        return dict(zip(law_names, natural.tolist(), strict=True)) | coefficients

    def value_names(self) -> tuple[str, ...]:
        """Return the names of the components and of the coefficients."""
        return (*self._component_names(), *self.optional_names())

    def spread_names(self) -> tuple[str, ...]:
        """Return the names of the components, each of which may have a spread."""
        return self._component_names()

    def problems(self, forward: ForwardSection) -> Iterator[ConfigProblem]:
        """Yield what does not fit the forward model, and components that contradict."""
        names = forward.parameter_names()
        if _WEIGHT in names:
            yield ConfigProblem(
                ("kind",),
                f"the forward model has a parameter '{_WEIGHT}', which is the name of a "
                "component's share here; rename the parameter.",
            )
        if self.ordered_by not in names and (self.ordered_by is not None or len(names) > 1):
            given = "is missing" if self.ordered_by is None else f"got {shown(self.ordered_by)}"
            yield ConfigProblem(
                ("ordered_by",),
                f"{given}; it must be one of the forward model's parameters: {listed(names)}.",
            )
        yield from transform_problems(self.transforms, names)
        yield from self.covariate_problems(names, "the forward model's parameters")
        for problem in self._start_problems(self.start, names):
            yield problem.under("start")

    def value_problems(
        self, values: Mapping[str, Any], forward: ForwardSection | None
    ) -> Iterator[ConfigProblem]:
        """Yield faults of true values, with paths that begin at them."""
        wrong = list(value_problems(values, type(self).model_fields["start"].annotation))
        yield from wrong
        if not wrong and forward is not None:
            yield from self._start_problems(values, forward.parameter_names())
            for name in self.optional_names():
                if name not in values:
                    yield ConfigProblem((name,), "is missing; it must be a number.")

    def _component_names(self) -> tuple[str, ...]:
        return tuple(component_name(k) for k in range(self.components))

    def _start_problems(
        self, values: Mapping[str, Any], parameters: Sequence[str]
    ) -> Iterator[ConfigProblem]:
        """Yield wrong components, and coefficients that the law does not have."""
        numbers = {name: v for name, v in values.items() if isinstance(v, int | float)}
        wrong = [
            ConfigProblem((name,), f"got {shown(numbers.pop(name))}, but it must be a mapping.")
            for name in self._component_names()
            if name in numbers
        ]
        coefficients = {name: float(value) for name, value in numbers.items()}
        wrong += structure_problems(coefficients, self.optional_names())
        yield from wrong
        if not wrong:
            components = {name: each for name, each in values.items() if name not in coefficients}
            yield from self._component_problems(components, parameters)

    def _component_problems(
        self, values: Mapping[str, Mapping[str, Any]], parameters: Sequence[str]
    ) -> Iterator[ConfigProblem]:
        """Yield missing or unknown names, weights that do not add up to 1, and unordered means."""
        components = self._component_names()
        wrong = list(name_problems(values, components, f"the law's {len(components)} components"))
        # One component has the weight 1, which need not be given.
        needed = (_WEIGHT, *parameters)
        for component in (name for name in components if name in values):
            given = dict(values[component])
            if self.components == 1:
                given.setdefault(_WEIGHT, 1.0)
            described = "a weight and the forward model's parameters"
            wrong += [p.under(component) for p in name_problems(given, needed, described)]
            for name in (name for name in needed if name in given):
                moments = not isinstance(given[name], int | float | str)
                if moments == (name == _WEIGHT):
                    wanted = "a number" if name == _WEIGHT else "a mean and a standard_deviation"
                    text = f"got {shown(given[name])}, but it must be {wanted}."
                    wrong.append(ConfigProblem((component, name), text))
        yield from wrong
        if wrong or not parameters:
            return
        total = sum(float(values[name].get(_WEIGHT, 1.0)) for name in components)
        if abs(total - 1) > _TOLERANCE:
            yield ConfigProblem((), f"the weights of the components add up to {total:g}, not to 1.")
        if (leader := self.ordered_by or parameters[0]) in parameters:
            yield from _order_problems(values, components, leader)


def _order_problems(
    values: Mapping[str, Mapping[str, Any]], components: Sequence[str], leader: str
) -> Iterator[ConfigProblem]:
    for before, after in itertools.pairwise(components):
        low, high = (_moment(values[each][leader], "mean") for each in (before, after))
        if low >= high:
            yield ConfigProblem(
                (after, leader, "mean"),
                f"got {high:g}, but it must exceed the mean of {before}, {low:g}. The components "
                f"are numbered by the means of '{leader}'.",
            )


def _moment(value: Any, key: str) -> float:
    return float(value[key] if isinstance(value, Mapping) else getattr(value, key))
