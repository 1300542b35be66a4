"""The base of the sections of all noise families: the start, and the demands on a study."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Discriminator, Field, Tag

from popinv.forward.section import ForwardSection
from popinv.population.noise.errors import Errors
from popinv.sections.base import NotBoolean, Positive, Section, plain
from popinv.sections.messages import Problem
from popinv.sections.outside import Kind, kind_section

if TYPE_CHECKING:
    from popinv.forward.base import Observations
    from popinv.population.noise.base import NoiseModel


START = "Start of the descent."


def _one_or_several(value: Any) -> str:
    return "<several>" if isinstance(value, list | tuple) else "<one>"


Correlation = Annotated[float, Field(gt=-1, lt=1), NotBoolean]
Positives = Annotated[
    Annotated[Positive, Tag("<one>")] | Annotated[list[Positive], Tag("<several>")],
    Discriminator(_one_or_several),
]
Correlations = Annotated[
    Annotated[Correlation, Tag("<one>")] | Annotated[list[Correlation], Tag("<several>")],
    Discriminator(_one_or_several),
]


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


class NoiseSection(Kind):
    """The section of a noise family: its keys, and its requirements on the rest of a study.

    A family has a key ``start``, a section whose keys are the family's parameters.
    """

    computes: ClassVar[str] = "noise"
    needed: ClassVar[tuple[str, ...]] = ("start",)
    unrestricted: ClassVar[bool] = False
    """True if every covariance is in the family."""
    pools_observations: ClassVar[bool] = False
    """True if the family's parameters do not belong to single observations."""

    errors: Errors | None = Field(
        default=None,
        description="How the noise differs from Gaussian noise of a constant size: growth with the "
        "signal, heavy tails. Null is Gaussian noise of a constant size.",
    )

    if TYPE_CHECKING:
        # Stated by each family, after the keys that it depends on.
        start: Any

    def model(self, observations: Observations, covariates: Sequence[str] = ()) -> NoiseModel:
        """Return the noise model for the observations: that of the family, with its errors.

        Parameters
        ----------
        covariates : sequence of str
            The names of all covariates that are known of a system, in order.
        """
        family = self.noise(observations)
        return family if self.errors is None else self.errors.noise(family, covariates)

    def covariate_names(self) -> tuple[str, ...]:
        """Return the covariates of each system that the noise depends on."""
        return () if self.errors is None else tuple(dict.fromkeys(self.errors.covariates))

    def start_values(self) -> dict[str, Any]:
        """Return the start of all parameters, by name or key."""
        added = {} if self.errors is None else self.errors.start_values()
        return {**plain(self.start), **added}

    def modules(self) -> tuple[str, ...]:
        """Return the modules of the family, and those of its errors."""
        if self.errors is None:
            return super().modules()
        names = ("varying", "student")
        return (*super().modules(), *(f"popinv.population.noise.{name}" for name in names))

    @abstractmethod
    def noise(self, observations: Observations) -> NoiseModel:
        """Return the family's noise model for the places and times of the observations.

        Raises
        ------
        ConfigError
            If noise in time is asked for where the times are not regular.
        """

    def problems(self, forward: ForwardSection) -> Iterator[Problem]:
        """Yield conflicts with the forward model, with paths that begin at the section."""
        yield from ()

    def value_problems(self, values: Any, forward: ForwardSection) -> Iterator[Problem]:
        """Yield faults such as lists of the wrong length among start or true values.

        Parameters
        ----------
        values : Section
            Values of the type of the section's ``start``.
        """
        yield from ()


def noise_section(section: NoiseSection | Mapping[str, Any]) -> NoiseSection:
    """Return the section of a noise family as an object, from a checked mapping too.

    Only the module of the section's own kind is imported.
    """
    checked: NoiseSection = kind_section(section, "popinv.population.noise", NoiseSection)
    return checked


def time_problems(kind: str, order: int, forward: ForwardSection) -> Iterator[Problem]:
    """Yield a forward model without regular times, or with too few for the order."""
    times = forward.time_count()
    if times is None or times < 2:
        yield Problem(
            ("kind",),
            f"got '{kind}', which is correlated in time, but the observations of "
            f"'{getattr(forward, 'kind', 'this forward model')}' as configured are no time "
            "series; choose 'isotropic', 'diagonal', 'kernel' or 'full'.",
        )
    elif not forward.times_are_regular():
        yield Problem(
            ("kind",),
            f"got '{kind}', which needs equally spaced times; choose 'kernel' (over place and "
            "time) or 'full', or observe at regular times.",
        )
    elif order >= times:
        yield Problem(
            ("order",), f"got {order}, but with {times} times it must be at most {times - 1}."
        )


def length_problems(values: Section, key: str, count: int, described: str) -> Iterator[Problem]:
    """Yield a list that does not have this many numbers."""
    given = getattr(values, key)
    if isinstance(given, list) and len(given) != count:
        yield Problem(
            (key,),
            f"got {len(given)} numbers, but there are {described} of each system; give one for "
            "each, or one number.",
        )


def pair_problems(values: Section, key: str, count: int) -> Iterator[Problem]:
    """Yield a list that is not one number for each pair, and impossible correlations."""
    given, wanted = getattr(values, key), count * (count - 1) // 2
    if isinstance(given, list) and len(given) != wanted:
        yield Problem(
            (key,),
            f"got {len(given)} numbers, but {count} have {wanted} pairs; give one for each, or "
            "one number.",
        )
        return
    # This is imported here, as no other part of the configuration and few runs need it.
    import numpy as np

    matrix = np.eye(count)
    rows, columns = np.tril_indices(count, -1)
    matrix[rows, columns] = matrix[columns, rows] = given
    if np.linalg.eigvalsh(matrix)[0] <= 1e-12:
        yield Problem(
            (key,),
            "these correlations are impossible: their matrix is not positive definite.",
        )


def present(values: dict[str, Any]) -> dict[str, Any]:
    """Return the values that are not None."""
    return {name: value for name, value in values.items() if value is not None}
