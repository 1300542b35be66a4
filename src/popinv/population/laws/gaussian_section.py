"""The sections of Gaussian laws: normal, lognormal, and normal after a transform of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, PlainSerializer
from pydantic_core import PydanticCustomError

from popinv.forward.section import ForwardSection
from popinv.population.laws.parameters import (
    coefficient_names,
    correlation_names,
    correlations_at,
    level_name,
)
from popinv.population.laws.section import (
    TRANSFORMS,
    Covariates,
    CovariateSection,
    Mean,
    TransformKey,
    chosen_transforms,
    covariates_field,
    effect_pairs,
    structure_problems,
    transform_problems,
)
from popinv.sections.base import (
    NAMED,
    ONE,
    ONE_OR_NAMED,
    ONE_OR_SEVERAL,
    SEVERAL,
    NonNegative,
    Number,
    Section,
)
from popinv.sections.messages import ConfigProblem, name_problems, shown

if TYPE_CHECKING:
    from popinv.observation_files.trees import LevelColumns
    from popinv.population.constraints import Constraint
    from popinv.population.laws.gaussian import GaussianLaw
    from popinv.population.laws.levels import LevelLaw


_START_BY_PARAMETER = (
    "Start of the descent: `{mean: ..., standard_deviation: ...}` for every parameter of the "
    "forward model that is not `fixed`, by name.\n\n"
    "A standard deviation of 0 states that the parameter is equal in all systems. Correlations and "
    "coefficients start at 0, or at a number that is given by name, such as "
    "`volume_clearance_correlation: 0.5`. The parameters of your own simulator are in "
    "`forward.parameters`. Other kinds name theirs where their keys are explained."
)


class MeanAndDeviation(Mean):
    """The unknowns of one parameter of a Gaussian law."""

    standard_deviation: NonNegative = Field(
        description="Standard deviation (lognormal: of the logarithm). 0: the parameter is the "
        "same in all systems.",
    )


StartValue = Annotated[Annotated[MeanAndDeviation, NAMED] | Annotated[Number, ONE], ONE_OR_NAMED]
Group = Annotated[list[str], Field(min_length=2)]
Correlated = Annotated[
    Annotated[bool, Field(strict=True), ONE] | Annotated[list[Group], SEVERAL], ONE_OR_SEVERAL
]


def _in_order(value: Any) -> Any:
    """Return levels that are listed, ``[{batch: [a]}, {specimen: [b]}]``, as one mapping."""
    if isinstance(value, list) and all(isinstance(e, dict) and len(e) == 1 for e in value):
        names = [name for each in value for name in each]
        for name in names:
            if names.count(name) > 1:
                raise PydanticCustomError(
                    "levels", "'{name}' comes up twice; name each level once", {"name": name}
                )
        return {name: own for each in value for name, own in each.items()}
    if isinstance(value, list) and value and all(isinstance(each, str) for each in value):
        example = ", ".join(f"{name}: [PARAMETER]" for name in value)
        raise PydanticCustomError(
            "levels",
            "each level needs the parameters that vary at it: {example}",
            {"example": f"{{{example}}}"},
        )
    return value


def _listed(levels: Mapping[str, list[str]]) -> list[dict[str, list[str]]]:
    return [{name: own} for name, own in levels.items()]


# Files may sort the keys of a mapping, and the order of the levels has a meaning.
Levels = Annotated[
    dict[str, Annotated[list[str], Field(min_length=1)]],
    BeforeValidator(_in_order),
    PlainSerializer(_listed, return_type=list[dict[str, list[str]]]),
]


class ByParameter(CovariateSection):
    """A law whose values are a mean and a standard deviation for each parameter, by name."""

    has_means: ClassVar[bool] = True

    start: dict[str, StartValue] = Field(description=_START_BY_PARAMETER)
    fixed: dict[str, Number] = Field(
        default_factory=dict,
        description="Parameters with a known value, equal in all systems, such as `{baseline: 0}`.",
        json_schema_extra={"x-default": "none"},
    )
    correlations: Correlated = Field(
        default=False,
        description=(
            "Correlations between parameters (lognormal: between their logarithms). `true`: all "
            "that vary. A list of groups such as `[[volume, clearance]]`: within each group. "
            "`false`: none.\n\n"
            "With `true`, the parameters stand in alphabetical order."
        ),
    )
    covariates: Covariates = covariates_field(
        "Covariates on which the mean of a parameter depends linearly, such as `{clearance: "
        "[weight]}`. They are columns of the observation file.\n\n"
        "The dependence is linear in the scale of the mean. A number counts from its mean over "
        "the systems, so that the mean of the parameter belongs to an average system; "
        "`summary()` states it. `sex_male` is 1 where a column `sex` of text holds `male`, and "
        "0 elsewhere."
    )

    scale_covariates: Covariates = covariates_field(
        "Covariates on which the logarithm of a parameter's standard deviation depends, as for "
        "`covariates`."
    )
    levels: Levels = Field(
        default_factory=dict,
        description=(
            "Levels at which parameters vary, from outer to inner, such as `{batch: [strength, "
            "drift], specimen: [strength]}`. They are columns of the table. The innermost one "
            "tells apart the members that have parameters of their own.\n\n"
            "A parameter is its mean, plus an effect of each level that names it, in the scale of "
            "the mean. Each level has standard deviations of its own, and correlations where "
            "`correlations` states them. Of the standard deviation in `start`, each level has an "
            "equal part of the variance, unless `start` gives it by name, such as "
            "`strength_batch_standard_deviation: 2`. Labels count within the level around them: "
            "specimen 1 of two batches are two specimens."
        ),
        json_schema_extra={"x-default": "none"},
    )
    crossed: list[str] = Field(
        default_factory=list,
        description=(
            "Two `levels` that are crossed, such as `[plate, sample]`: each plate holds each "
            "sample. Neither counts within the other: sample A is the same one on all plates. "
            "Further levels are within both. Members that share a plate or a sample are one group."
        ),
        json_schema_extra={"x-default": "none", "maxItems": 2},
    )

    def level_names(self) -> tuple[str, ...]:
        """Return the levels, from outer to inner."""
        return tuple(self.levels)

    def level_columns(self) -> LevelColumns:
        """Return the columns of the levels, and which of them are crossed."""
        from popinv.observation_files.trees import LevelColumns

        return LevelColumns(self.level_names(), tuple(self.crossed))

    def value_names(self) -> tuple[str, ...]:
        """Return the keys of true values: the parameters, coefficients and correlations."""
        return (*self.moments(), *self.optional_names())

    def optional_names(self) -> tuple[str, ...]:
        """Return the names of the coefficients and correlations."""
        coefficients = coefficient_names(self.effects(), self.scale_effects())
        if not self.levels:
            return (*coefficients, *correlation_names(self.groups()))
        correlations = (
            level_name(name, level)
            for level, own in self.levels.items()
            for name in correlation_names(correlations_at(self.groups(), own))
        )
        return (*coefficients, *correlations)

    def deviations_at_levels(self) -> dict[str, tuple[str, int]]:
        """Return the names of each level's deviations: the parameter, and at how many levels."""
        counts = Counter(name for own in self.levels.values() for name in own)
        return {
            level_name(f"{name}_standard_deviation", level): (name, counts[name])
            for level, own in self.levels.items()
            for name in own
            if name in self.moments()
        }

    def values(self, given: Mapping[str, Any] | Section) -> dict[str, float]:
        """Return values by name, without a deviation of parameters that are common to all."""
        flat = super().values(given)
        # Each level has an equal part of the variance, unless its deviation is given.
        for own, (name, count) in self.deviations_at_levels().items():
            flat.setdefault(own, flat[f"{name}_standard_deviation"] / count**0.5)
        for name in self.moments() if self.levels else self.common():
            flat.pop(f"{name}_standard_deviation", None)
        return flat

    def spread_names(self) -> tuple[str, ...]:
        """Return the names that may each have a spread."""
        return tuple(self.moments())

    def named_parameters(self, forward: ForwardSection) -> tuple[str, ...]:
        """Return the parameters of the forward model that are not fixed."""
        return tuple(name for name in forward.parameter_names() if name not in self.fixed)

    def moments(self) -> dict[str, MeanAndDeviation]:
        """Return mean and standard deviation at the start, by parameter."""
        return {
            name: value for name, value in self.start.items() if isinstance(value, MeanAndDeviation)
        }

    def common(self) -> tuple[str, ...]:
        """Return the parameters that are the same in all systems, at an unknown value."""
        return tuple(name for name, value in self.moments().items() if not value.standard_deviation)

    def held_names(self) -> Mapping[str, str]:
        """Return what ``fixed`` and a starting standard deviation of 0 hold."""
        fixed = {
            f"{name}_{moment}": f"'law.fixed' states the value of '{name}'"
            for name in self.fixed
            for moment in MeanAndDeviation.model_fields
        }
        return fixed | {
            f"{name}_standard_deviation": f"'law.start' states that '{name}' is equal in all "
            "systems (standard_deviation: 0)"
            for name in self.common()
        }

    def varying(self, forward: ForwardSection) -> tuple[str, ...]:
        """Return the parameters that vary over the systems, in the forward model's order."""
        still = {*self.common(), *self.fixed}
        return tuple(name for name in forward.parameter_names() if name not in still)

    def groups(self) -> list[list[str]]:
        """Return the groups of parameters that are correlated with each other."""
        if isinstance(self.correlations, list):
            return [list(group) for group in self.correlations]
        # Files may sort the keys of a mapping, so their order has no meaning.
        varying = sorted(set(self.moments()) - {*self.common(), *self.fixed})
        return [varying] if self.correlations and len(varying) > 1 else []

    def scale_effects(self) -> list[tuple[str, str]]:
        """Return the pairs of a parameter and a covariate that its deviation depends on."""
        return effect_pairs(self.scale_covariates)

    def covariate_names(self) -> tuple[str, ...]:
        """Return the covariates, each once."""
        every = [*self.effects(), *self.scale_effects()]
        return tuple(dict.fromkeys(covariate for _, covariate in every))

    def structure(self) -> dict[str, Any]:
        """Return the arguments of :class:`~popinv.population.laws.gaussian.GaussianLaw`."""
        return {
            "common": self.common(),
            "fixed": self.fixed,
            "groups": self.groups(),
            "covariates": self.covariate_names(),
            "effects": self.effects(),
            "scale_effects": self.scale_effects(),
        }

    def law_of(
        self, names: Sequence[str], transforms: Sequence[Constraint]
    ) -> GaussianLaw | LevelLaw:
        """Return the law of parameters with these transforms; of one member, if it has levels."""
        from popinv.population.laws.gaussian import GaussianLaw
        from popinv.population.laws.levels import LevelLaw

        structure = self.structure()
        if not self.levels:
            return GaussianLaw(names, transforms, **structure)
        kept = {key: structure[key] for key in ("fixed", "groups", "covariates", "effects")}
        return LevelLaw(names, transforms, self.levels, **kept)

    def problems(self, forward: ForwardSection) -> Iterator[ConfigProblem]:
        """Yield names that the forward model does not have, and structure that contradicts."""
        names = forward.parameter_names()
        wanted = self.named_parameters(forward)
        described = f"the forward model's {len(wanted)} parameters"
        if len(wanted) < len(names):
            described += " that are not fixed"
        for problem in name_problems(self.moments(), wanted, described):
            yield problem.under("start")
        structure = {name: value for name, value in self.start.items() if isinstance(value, float)}
        levels = tuple(self.deviations_at_levels())
        for problem in structure_problems(structure, (*self.optional_names(), *levels)):
            yield problem.under("start")
        for name in self.fixed:
            if name not in names:
                yield ConfigProblem(
                    ("fixed", name), f"the forward model has the parameters {', '.join(names)}."
                )
        varying = self.varying(forward)
        if not varying:
            yield ConfigProblem(("start",), "at least one parameter must vary over the systems.")
        if isinstance(self.correlations, list):
            yield from self._group_problems(varying)
        if self.levels:
            yield from self._level_problems(varying)
        if self.crossed:
            yield from self._crossed_problems()
        yield from self.covariate_problems(tuple(self.moments()), "the parameters with a mean")
        yield from self.covariate_problems(varying, "the parameters that vary", "scale_covariates")

    def value_problems(
        self, values: Mapping[str, Any], forward: ForwardSection | None
    ) -> Iterator[ConfigProblem]:
        """Yield what is wrong with true values, with paths that begin at them."""
        structure, deviations = self.optional_names(), tuple(self.deviations_at_levels())
        own = {*structure, *deviations}
        nested = {name: value for name, value in values.items() if name not in own}
        yield from super().value_problems(nested, forward)
        for name in (*structure, *(each for each in deviations if each in values)):
            value = values.get(name)
            if not isinstance(value, int | float) or isinstance(value, bool):
                given = "is missing" if value is None else f"got {shown(value)}"
                yield ConfigProblem((name,), f"{given}; it must be a number.")
            else:
                yield from structure_problems({name: value}, (*structure, *deviations))
        for name, value in nested.items():
            if name in self.moments() and isinstance(value, Mapping):
                still = not value.get("standard_deviation", 1.0)
                if still != (name in self.common()):
                    yield ConfigProblem(
                        (name, "standard_deviation"),
                        "it must be 0 here and in 'law.start', or in neither.",
                    )

    def _level_problems(self, varying: tuple[str, ...]) -> Iterator[ConfigProblem]:
        """Yield parameters of levels that do not vary, or that vary at no level."""
        for level, own in self.levels.items():
            for name in own:
                if name not in varying:
                    yield ConfigProblem(
                        ("levels", level),
                        f"'{name}' does not vary; the parameters that do are {', '.join(varying)}.",
                    )
            if len(set(own)) < len(own):
                yield ConfigProblem(("levels", level), f"got {shown(own)}; name each once.")
        named = {name for own in self.levels.values() for name in own}
        for name in varying:
            if name not in named:
                yield ConfigProblem(
                    ("levels",),
                    f"no level names '{name}', which varies; name it at a level, or set "
                    f"'start.{name}.standard_deviation: 0'.",
                )
        if self.scale_covariates:
            yield ConfigProblem(
                ("scale_covariates",),
                "a parameter has a standard deviation at each of the 'levels', and the key does "
                "not say which one the covariate scales; leave it out.",
            )

    def _crossed_problems(self) -> Iterator[ConfigProblem]:
        """Yield crossed levels that are not two levels, one after the other."""
        names = self.level_names()
        for name in self.crossed[:2]:
            if name not in names:
                has = f"are {', '.join(names)}" if names else "are not stated; state 'law.levels'"
                yield ConfigProblem(("crossed",), f"'{name}' is no level; the levels {has}.")
                return
        places = [names.index(name) for name in self.crossed[:2]]
        if len(self.crossed) != 2 or abs(places[0] - places[1]) != 1:
            yield ConfigProblem(
                ("crossed",),
                f"got {shown(self.crossed)}; give two levels that follow each other in 'levels'.",
            )

    def _group_problems(self, varying: tuple[str, ...]) -> Iterator[ConfigProblem]:
        seen: set[str] = set()
        for i, group in enumerate(self.groups()):
            for name in group:
                if name not in varying:
                    yield ConfigProblem(
                        ("correlations", i),
                        f"'{name}' does not vary over the systems; those that do are "
                        f"{', '.join(varying)}.",
                    )
                if name in seen:
                    yield ConfigProblem(
                        ("correlations", i),
                        f"'{name}' stands twice; join the groups, or leave it out.",
                    )
                seen.add(name)


class NormalSection(ByParameter):
    """Normal parameters."""

    kind: Literal["normal"] = Field(
        description="Normal parameters, each with unknown mean and standard deviation."
    )

    def law(self, forward: ForwardSection) -> GaussianLaw | LevelLaw:
        """Return the law of the forward model's parameters."""
        from popinv.population.constraints import REAL

        names = forward.parameter_names()
        return self.law_of(names, [REAL] * len(names))


class LognormalSection(ByParameter):
    """Lognormal parameters."""

    kind: Literal["lognormal"] = Field(
        description=(
            "Lognormal parameters. Mean, standard deviation and correlations belong to the "
            "logarithm."
        )
    )

    def law(self, forward: ForwardSection) -> GaussianLaw | LevelLaw:
        """Return the law of the forward model's parameters."""
        from popinv.population.constraints import POSITIVE

        names = forward.parameter_names()
        return self.law_of(names, [POSITIVE] * len(names))


class TransformedNormalSection(ByParameter):
    """Parameters that are normal after a transform of each."""

    kind: Literal["transformed_normal"] = Field(
        description=(
            "Parameters that are normal after a transform. Mean, standard deviation and "
            "correlations belong to the transformed parameters."
        )
    )
    transforms: dict[str, TransformKey] = Field(description=TRANSFORMS)

    def law(self, forward: ForwardSection) -> GaussianLaw | LevelLaw:
        """Return the law of the forward model's parameters."""
        names = forward.parameter_names()
        return self.law_of(names, chosen_transforms(self.transforms, names))

    def problems(self, forward: ForwardSection) -> Iterator[ConfigProblem]:
        """Yield what does not fit the forward model, and intervals without length."""
        yield from super().problems(forward)
        yield from transform_problems(self.transforms, tuple(self.moments()))
