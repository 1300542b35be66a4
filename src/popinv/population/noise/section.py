"""The base of the sections of all noise families, and their common keys.

A family has a start, errors that may differ from Gaussian noise of a constant size, and demands on
the rest of a study.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, SerializerFunctionWrapHandler, model_serializer
from pydantic_core import PydanticCustomError

from popinv.forward.section import ForwardSection
from popinv.population.noise.discrepancy_section import Discrepancy
from popinv.population.priors.section import PriorKey, prior_field
from popinv.sections.base import ONE, ONE_OR_SEVERAL, SEVERAL, NotBoolean, Positive, Section, plain
from popinv.sections.messages import ConfigProblem
from popinv.sections.outside import Kind

if TYPE_CHECKING:
    from popinv.forward.base import Observations
    from popinv.population.noise.base import NoiseModel
    from popinv.population.noise.terms import Noise, Size


START = "Start of the descent."
# The names of the parameters of a discrepancy begin with this.
_DISCREPANCY = "discrepancy_"


Correlation = Annotated[float, Field(gt=-1, lt=1), NotBoolean]
Positives = Annotated[Annotated[Positive, ONE] | Annotated[list[Positive], SEVERAL], ONE_OR_SEVERAL]
Correlations = Annotated[
    Annotated[Correlation, ONE] | Annotated[list[Correlation], SEVERAL], ONE_OR_SEVERAL
]


class OptionalParameters(Section):
    """Unknowns of which some belong to other keys; those that are None are left out."""

    @model_serializer(mode="wrap")
    def _without_absent(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        values: dict[str, Any] = dump(self)
        return {name: value for name, value in values.items() if value is not None}

    def having(self, key: str, needed: bool, default: float, refusal: str) -> Self:
        """Return the values with a key where it is needed, at its default if it is not given.

        Where it is not needed, a given value is refused.
        """
        given = getattr(self, key) is not None
        if given and not needed:
            raise PydanticCustomError("noise", "{refusal}", {"refusal": refusal})
        return self if given or not needed else self.model_copy(update={key: default})


class StandardDeviation(Section):
    """The unknown of uncorrelated noise of one size."""

    standard_deviation: Positive = Field(
        default=0.3,
        description="Standard deviation at every sensor, in the unit of the observations.",
    )


class StandardDeviations(Section):
    """The unknowns of uncorrelated noise."""

    standard_deviation: Positives = Field(
        default=0.3,
        description="Standard deviation in the unit of the observations: one number for all, or a "
        "list with one for each observation.",
    )


class Errors(Section):
    """How the noise grows with the signal, and its tails; the family gives its correlations."""

    grows: Literal["constant", "proportional", "combined"] = Field(
        default="constant",
        description=(
            "Growth of the standard deviation with the noise-free observation g: none "
            "(`constant`), `proportional` to |g|, or `combined`.\n\n"
            "With `proportional`, the standard deviation is the family's standard deviation times "
            "|g|: the family's values are shares of the signal. With `combined`, it is the root of "
            "the family's variance plus (`proportional` g)^2."
        ),
    )
    proportional: Positive = Field(
        default=0.1,
        description="Start of the descent: the share of the signal in a `combined` error.",
    )
    tails: Literal["gaussian", "student"] = Field(
        default="gaussian",
        description=(
            "The distribution of the noise: Gaussian, or Student's t with heavy tails. In both "
            "cases, the family gives its standard deviation."
        ),
    )
    degrees_of_freedom: Annotated[float, Field(gt=2), NotBoolean] = Field(
        default=6.0,
        description=(
            "Start of the descent: the degrees of freedom of `student` tails. Fewer degrees of "
            "freedom give heavier tails."
        ),
    )

    @property
    def vary(self) -> bool:
        """Whether the noise is other than Gaussian noise of a constant size."""
        return self.grows != "constant" or self.tails != "gaussian" or bool(self.covariates)

    covariates: list[str] = Field(
        default_factory=list,
        description=(
            "Covariates on which the logarithm of the standard deviation depends linearly: columns "
            "of the observation file, or a column and one of its values such as `sex_male`.\n\n"
            "Each has a coefficient, `noise_NAME_coefficient`, which starts at 0."
        ),
        json_schema_extra={"x-default": "none"},
    )

    def start_values(self) -> dict[str, float]:
        """Return the start of the parameters that the errors add to the family's."""
        values = {}
        if self.grows == "combined":
            values["proportional"] = self.proportional
        if self.tails == "student":
            values["degrees_of_freedom"] = self.degrees_of_freedom
        return values | {f"noise_{name}_coefficient": 0.0 for name in self.covariates}

    def size(self, covariates: Sequence[str] = ()) -> Size:
        """Return the term of the noise.

        Parameters
        ----------
        covariates : sequence of str
            The names of all covariates that are known of a system, in order.
        """
        from popinv.population.noise.terms import Size

        columns = [list(covariates).index(name) for name in self.covariates]
        return Size(self.grows, self.tails == "student", self.covariates, columns)

    def value_problems(self, values: Mapping[str, Any]) -> Iterator[ConfigProblem]:
        """Yield true values of the added parameters that are outside their domain."""
        least = {"proportional": 0.0, "degrees_of_freedom": 2.0}
        for name in self.start_values():
            value = values.get(name, 1e300)
            if not isinstance(value, int | float):
                yield ConfigProblem((name,), f"got {value}, but it must be a number.")
            elif name in least and value <= least[name]:
                yield ConfigProblem(
                    (name,), f"got {value}, but it must be larger than {least[name]:g}."
                )


class NoiseSection(Kind):
    """The section of a noise family: its keys, and its requirements on the rest of a study.

    A family has a key ``start``, a section whose keys are the family's parameters.
    """

    needed: ClassVar[tuple[str, ...]] = ("start",)
    unrestricted: ClassVar[bool] = False
    """True if every covariance is in the family."""
    pools_observations: ClassVar[bool] = False
    """True if the family's parameters do not belong to single observations."""

    errors: Errors | None = Field(
        default=None,
        description=(
            "Differences from Gaussian noise of a constant size: growth with the signal, heavy "
            "tails, covariates. null: Gaussian noise of a constant size."
        ),
    )

    discrepancy: Discrepancy | None = Field(
        default=None,
        description=(
            "The error of the simulator itself, in all systems alike or in each in its own way. "
            "null: none."
        ),
    )

    prior: PriorKey | None = prior_field("noise", "{standard_deviation: {half_normal: 0.1}}")

    if TYPE_CHECKING:
        # Stated by each family, after the keys that it depends on.
        start: Any

    def model(self, observations: Observations, covariates: Sequence[str] = ()) -> Noise:
        """Return the noise of the observations: the family's, with errors and discrepancy.

        Parameters
        ----------
        covariates : sequence of str
            The names of all covariates that are known of a system, in order.
        """
        terms: dict[str, Any] = {}
        if self.errors is not None and self.errors.vary:
            terms["size"] = self.errors.size(covariates)
        if self.discrepancy is not None:
            terms |= self.discrepancy.terms(observations, len(covariates))
        from popinv.population.noise.terms import Noise

        return Noise(self.noise(observations), **terms)

    def covariate_names(self) -> tuple[str, ...]:
        """Return the covariates of each system that the noise depends on."""
        return () if self.errors is None else tuple(dict.fromkeys(self.errors.covariates))

    def start_values(self) -> dict[str, Any]:
        """Return the start of all parameters, by name or key."""
        parts = (self.discrepancy, self.errors)
        added = {k: v for part in parts if part is not None for k, v in part.start_values().items()}
        return {**plain(self.start), **added}

    def modules(self) -> tuple[str, ...]:
        """Return the modules of the family and of its errors."""
        return (*super().modules(), "popinv.population.noise.terms")

    def units(self, name: str, observations: Observations) -> str:
        """Return the unit of a parameter of the noise, "1" if it has none.

        By default, standard deviations, amplitudes and nuggets have the unit of the observations,
        or none if they are shares of the signal, and a length has the unit of the coordinates. A
        family with other names overrides this.
        """
        if name.startswith(_DISCREPANCY):
            name = name.removeprefix(_DISCREPANCY).removeprefix("own_")
            return observations.coordinate_units if name == "length" else observations.units
        if name == "length":
            return observations.coordinate_units
        return observations.units if self.has_size(name) else "1"

    def has_size(self, name: str) -> bool:
        """Return whether a parameter is a size of the noise in the unit of the observations."""
        relative = self.errors is not None and self.errors.grows == "proportional"
        return name.startswith(("standard_deviation", "amplitude", "nugget")) and not relative

    def starts_at_default(self, name: str) -> bool:
        """Return whether the study does not state the start of a parameter of the family."""
        given = self.start.model_fields_set if "start" in self.model_fields_set else ()
        return not any(name == key or name.startswith(f"{key}_") for key in given)

    @abstractmethod
    def noise(self, observations: Observations) -> NoiseModel:
        """Return the family's noise model for the places and times of the observations.

        Raises
        ------
        ConfigError
            If the noise is correlated in time and the times are not regular.
        """

    def problems(self, forward: ForwardSection) -> Iterator[ConfigProblem]:
        """Yield conflicts with the forward model, with paths that begin at the section."""
        yield from ()

    def value_problems(self, values: Any, forward: ForwardSection) -> Iterator[ConfigProblem]:
        """Yield faults such as lists of the wrong length among start or true values.

        Parameters
        ----------
        values : Section
            Values of the type of the section's ``start``.
        """
        yield from ()


def time_problems(kind: str, order: int, forward: ForwardSection) -> Iterator[ConfigProblem]:
    """Yield a forward model without regular times, or with too few for the order."""
    times = forward.time_count()
    if times is None or times < 2:
        yield ConfigProblem(
            ("kind",),
            f"got '{kind}', which is correlated in time, but the observations of "
            f"'{getattr(forward, 'kind', 'this forward model')}' as configured are no time "
            "series; choose 'isotropic', 'diagonal', 'kernel' or 'full'.",
        )
    elif not forward.times_are_regular():
        yield ConfigProblem(
            ("kind",),
            f"got '{kind}', which needs equally spaced times; choose 'kernel' (over place and "
            "time) or 'full', or observe at regular times.",
        )
    elif order >= times:
        yield ConfigProblem(
            ("order",), f"got {order}, but with {times} times it must be at most {times - 1}."
        )


def length_problems(
    values: Section, key: str, count: int, described: str
) -> Iterator[ConfigProblem]:
    """Yield a list that does not have this many numbers."""
    given = getattr(values, key)
    if isinstance(given, list) and len(given) != count:
        yield ConfigProblem(
            (key,),
            f"got {len(given)} numbers, but there are {described} of each system; give one for "
            "each, or one number.",
        )


def pair_problems(values: Section, key: str, count: int) -> Iterator[ConfigProblem]:
    """Yield a list that is not one number for each pair, and impossible correlations."""
    given, wanted = getattr(values, key), count * (count - 1) // 2
    if isinstance(given, list) and len(given) != wanted:
        yield ConfigProblem(
            (key,),
            f"got {len(given)} numbers, but {count} have {wanted} pairs; give one for each, or "
            "one number.",
        )
        return
    matrix = np.eye(count)
    rows, columns = np.tril_indices(count, -1)
    matrix[rows, columns] = matrix[columns, rows] = given
    if np.linalg.eigvalsh(matrix)[0] <= 1e-12:
        yield ConfigProblem(
            (key,),
            "these correlations are impossible: their matrix is not positive definite.",
        )
