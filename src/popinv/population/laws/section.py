"""The base of the sections of all laws, and the keys that several of them have.

A law has its start, its values in unconstrained coordinates, and demands on the rest of a study.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from popinv.forward.section import ForwardSection
from popinv.population.laws.parameters import coefficient_names
from popinv.population.priors.section import PriorKey, prior_field
from popinv.sections.base import NAMED, ONE, ONE_OR_NAMED, NonNegative, Number, Positive, Section
from popinv.sections.messages import ConfigProblem, name_problems, shown, value_problems
from popinv.sections.outside import Kind

if TYPE_CHECKING:
    from popinv.observation_files.trees import LevelColumns
    from popinv.population.constraints import Constraint
    from popinv.population.laws.base import Law


START = "Start of the descent, on the natural scale."
_SPREAD = (
    "Standard deviation of the first design about the start: one number, or one per name of "
    "`start`. Positive quantities count in logarithms."
)


class Mean(Section):
    """The mean of one normal, or lognormal, parameter."""

    mean: Number = Field(description="Mean (lognormal: of the logarithm).")


class MeanAndStandardDeviation(Mean):
    """The unknowns of one normal, or lognormal, parameter."""

    standard_deviation: Positive = Field(
        description="Standard deviation (lognormal: of the logarithm)."
    )


Spread = Annotated[
    Annotated[NonNegative, ONE] | Annotated[dict[str, NonNegative], NAMED], ONE_OR_NAMED
]


TRANSFORMS = (
    "The transform of every parameter, by name: `none` (normal), `log` (lognormal), or "
    "`{logit: [low, high]}` (logit-normal between low and high)."
)


class Logit(Section):
    """The ends of the interval of a logit-normal parameter."""

    logit: Annotated[list[Number], Field(min_length=2, max_length=2)] = Field(
        description="The ends of the parameter's interval, such as `[0, 1]`."
    )


TransformKey = Annotated[
    Annotated[Literal["none", "log"], ONE] | Annotated[Logit, NAMED], ONE_OR_NAMED
]


class LawSection(Kind):
    """The section of a law: its keys, and its requirements on the rest of a study.

    A law has a key ``start``: a section whose keys are the law's parameters, or one section for
    each parameter of the forward model, by name.
    """

    needed: ClassVar[tuple[str, ...]] = ("start",)
    has_density: ClassVar[bool] = True
    """True if the law has a density in closed form."""
    has_means: ClassVar[bool] = False
    """True if the law is normal after a transform of each parameter, so that it has means."""

    if TYPE_CHECKING:
        # Stated by each law, after the keys that it depends on.
        start: Any
    spread: Spread = Field(default=0.5, description=_SPREAD)
    prior: PriorKey | None = prior_field(
        "law", "{volume: {standard_deviation: {half_normal: 0.5}}}"
    )

    @abstractmethod
    def law(self, forward: ForwardSection) -> Law:
        """Return the law of the parameters of the forward model."""

    def covariate_names(self) -> tuple[str, ...]:
        """Return the covariates of each system that the law depends on."""
        return ()

    def effects(self) -> list[tuple[str, str]]:
        """Return the pairs of a parameter and a covariate that its mean depends on; none here."""
        return []

    def level_names(self) -> tuple[str, ...]:
        """Return the levels at which parameters vary, from outer to inner; none for systems."""
        return ()

    def level_columns(self) -> LevelColumns:
        """Return the columns of the levels, and which of them are crossed."""
        from popinv.observation_files.trees import LevelColumns

        return LevelColumns(self.level_names())

    def value_names(self) -> tuple[str, ...]:
        """Return the keys of ``start``; the true values have the same keys."""
        return tuple(self.start if isinstance(self.start, dict) else self.start.model_dump())

    def optional_names(self) -> tuple[str, ...]:
        """Return the law's parameters that are 0 unless they are given, such as coefficients.

        They do not vary in the first design.
        """
        return ()

    def held_names(self) -> Mapping[str, str]:
        """Return the parameters whose values the study holds, each with the key that does so."""
        return {}

    def values(self, given: Mapping[str, Any] | Section) -> dict[str, float]:
        """Return start or true values by the names of the law's parameters."""
        return dict.fromkeys(self.optional_names(), 0.0) | flat_values(given)

    def spread_names(self) -> tuple[str, ...]:
        """Return the names that may each have a spread."""
        return self.value_names()

    def problems(self, forward: ForwardSection) -> Iterator[ConfigProblem]:
        """Yield conflicts with the forward model, with paths that begin at the section."""
        if isinstance(self.start, dict):
            names = self.named_parameters(forward)
            described = f"the forward model's {len(names)} parameters"
            for problem in name_problems(self.start, names, described):
                yield problem.under("start")

    def named_parameters(self, forward: ForwardSection) -> tuple[str, ...]:
        """Return the parameters of the forward model whose values the law states by name."""
        return forward.parameter_names()

    def spread_problems(self) -> Iterator[ConfigProblem]:
        """Yield names of ``spread`` that are unknown or missing."""
        if isinstance(self.spread, dict):
            names = self.spread_names()
            for problem in name_problems(self.spread, names, "the law's parameters"):
                yield problem.under("spread")

    def value_problems(
        self, values: Mapping[str, Any], forward: ForwardSection | None
    ) -> Iterator[ConfigProblem]:
        """Yield faults of true values, with paths that begin at them.

        Parameters
        ----------
        values : mapping
            Values in the form of ``start``, as they stand in the file.
        forward : ForwardSection or None
            None if it is itself at fault.
        """
        names = self.value_names()
        if isinstance(self.start, dict) and forward:
            names = self.named_parameters(forward)
        yield from name_problems(values, names, "the law's parameters")
        known = {name: values[name] for name in values if name in names}
        yield from value_problems(known, type(self).model_fields["start"].annotation)

    def spreads(self, names: tuple[str, ...]) -> list[float]:
        """Return the spread of each of the law's parameters.

        Parameters
        ----------
        names : tuple of str
            Names of the law's parameters. Where ``start`` nests them, the name of the mapping
            stands first, and all of its parameters have one spread.
        """
        optional = set(self.optional_names())
        if isinstance(self.spread, dict):
            spread = self.spread
            each = {name: spread[_owner(name, spread)] for name in names if name not in optional}
        else:
            each = dict.fromkeys(set(names) - optional, self.spread)
        return [float(each.get(name, 0.0)) for name in names]


Covariates = dict[str, Annotated[list[str], Field(min_length=1)]]


def covariates_field(text: str) -> Any:
    """Return the key of the covariates of a law, described by a text."""
    return Field(default_factory=dict, description=text, json_schema_extra={"x-default": "none"})


class CovariateSection(LawSection):
    """A law with parameters that may depend on covariates of each system."""

    if TYPE_CHECKING:
        # Stated by each law, with what depends on covariates.
        covariates: Covariates

    def effects(self) -> list[tuple[str, str]]:
        """Return the pairs of a parameter and a covariate that its mean depends on."""
        return effect_pairs(self.covariates)

    def covariate_names(self) -> tuple[str, ...]:
        """Return the covariates, each once."""
        return tuple(dict.fromkeys(covariate for _, covariate in self.effects()))

    def optional_names(self) -> tuple[str, ...]:
        """Return the names of the coefficients."""
        return coefficient_names(self.effects(), ())

    def covariate_problems(
        self, names: Sequence[str], what: str, key: str = "covariates"
    ) -> Iterator[ConfigProblem]:
        """Yield the names of a key that are not among ``names``, which the message calls ``what``.

        Parameters
        ----------
        key : str
            The key that holds the covariates of each parameter.
        """
        for name in getattr(self, key):
            if name not in names:
                yield ConfigProblem((key, name), f"it must be one of {what}: {', '.join(names)}.")


def structure_problems(
    values: Mapping[str, float], names: tuple[str, ...]
) -> Iterator[ConfigProblem]:
    """Yield coefficients and correlations that the law does not have, or out of range."""
    for name, value in values.items():
        if name not in names:
            yield ConfigProblem(
                (name,),
                f"got {shown(value)}; a number belongs to a coefficient or a correlation of the "
                f"law, which has {', '.join(names) or 'neither'}.",
            )
        elif name.endswith("_correlation") and not -1 < value < 1:
            yield ConfigProblem((name,), f"got {shown(value)}; a correlation is between -1 and 1.")
        elif name.endswith("_standard_deviation") and not value > 0:
            yield ConfigProblem((name,), f"got {shown(value)}; a deviation of a level is positive.")


def _owner(name: str, owners: Iterable[str]) -> str:
    fitting = [owner for owner in owners if name == owner or name.startswith(f"{owner}_")]
    return max(fitting, key=len)


def flat_values(values: Mapping[str, Any] | Section) -> dict[str, float]:
    """Return the values of a law by the names of its parameters.

    Laws of named parameters nest their values by parameter in the file; the others are flat.

    Parameters
    ----------
    values : mapping or Section
        ``law.start`` or ``observations.truth.law``.

    Examples
    --------
    >>> flat_values({"mode_1": {"mean": 0.0, "standard_deviation": 2.0}})
    {'mode_1_mean': 0.0, 'mode_1_standard_deviation': 2.0}
    """
    flat: dict[str, float] = {}
    plain = values.model_dump() if isinstance(values, Section) else values
    for name, value in plain.items():
        if name == "beside":
            flat.update(flat_values(value))
        elif isinstance(value, Mapping | Section):
            flat.update({f"{name}_{key}": number for key, number in flat_values(value).items()})
        else:
            flat[name] = value
    return flat


def law_values(
    section: LawSection, values: Section | Mapping[str, Any], forward: ForwardSection
) -> np.ndarray:
    """Return unconstrained alpha for ``law.start`` or ``observations.truth.law``."""
    return section.law(forward).from_natural(section.values(values))


def law_spread(section: LawSection, forward: ForwardSection) -> np.ndarray:
    """Return the first design's standard deviation of each entry of alpha."""
    return np.array(section.spreads(section.law(forward).names))


def effect_pairs(covariates: Mapping[str, Sequence[str]]) -> list[tuple[str, str]]:
    """Return the pairs of an unknown and a covariate that it depends on."""
    # Files may sort the keys of a mapping, so their order has no meaning.
    return [(name, each) for name, every in sorted(covariates.items()) for each in every]


def chosen_transforms(keys: Mapping[str, str | Logit], names: Sequence[str]) -> list[Constraint]:
    """Return the constraint of each of the named parameters; `none` where there is no key."""
    from popinv.population.constraints import POSITIVE, REAL, Interval

    named = {"none": REAL, "log": POSITIVE}
    chosen = [keys.get(name, "none") for name in names]
    return [named[each] if isinstance(each, str) else Interval(*each.logit) for each in chosen]


def transform_problems(
    keys: Mapping[str, str | Logit], names: Sequence[str]
) -> Iterator[ConfigProblem]:
    """Yield names that are unknown or missing, and intervals without length."""
    for problem in name_problems(keys, names, "the law's parameters"):
        yield problem.under("transforms")
    for name, each in keys.items():
        if isinstance(each, Logit) and each.logit[0] >= each.logit[1]:
            yield ConfigProblem(
                ("transforms", name, "logit"),
                f"got {each.logit}, but the first end must be below the second.",
            )
