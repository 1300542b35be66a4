"""The sections of noise whose covariance uses neither places nor times."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from popinv.forward.section import ForwardSection
from popinv.population.noise.section import (
    START,
    Correlations,
    NoiseSection,
    StandardDeviation,
    StandardDeviations,
    length_problems,
    pair_problems,
)
from popinv.sections.base import NonNegative
from popinv.sections.messages import ConfigProblem

if TYPE_CHECKING:
    from popinv.forward.base import Observations
    from popinv.population.noise.unstructured import DiagonalNoise, FullNoise, IsotropicNoise


# 80 observations have 3240 unknowns. The curvature takes 6 s and 1 GB
# (docs/measurement_tables.md).
_MOST_OF_FULL = 80
# Errors that vary take a derivative of the model for each unknown: 210 for 20 observations.
_MOST_WITH_ERRORS = 20


class IsotropicSection(NoiseSection):
    """Uncorrelated noise of the same size at every sensor."""

    pools_observations: ClassVar[bool] = True

    kind: Literal["isotropic"] = Field(description="One unknown standard deviation.")
    start: StandardDeviation = Field(default_factory=StandardDeviation, description=START)

    def noise(self, observations: Observations) -> IsotropicNoise:
        """Return the noise model for the observations."""
        from popinv.population.noise.unstructured import IsotropicNoise

        return IsotropicNoise(len(observations))


class DiagonalSection(NoiseSection):
    """Uncorrelated noise with a standard deviation for each sensor."""

    kind: Literal["diagonal"] = Field(description="An unknown standard deviation for each sensor.")
    start: StandardDeviations = Field(default_factory=StandardDeviations, description=START)

    def value_problems(self, values: Any, forward: ForwardSection) -> Iterator[ConfigProblem]:
        """Yield a list that is not one number for each observation."""
        count = forward.observation_count()
        yield from length_problems(values, "standard_deviation", count, f"{count} observations")

    def noise(self, observations: Observations) -> DiagonalNoise:
        """Return the noise model for the observations."""
        from popinv.population.noise.unstructured import DiagonalNoise

        return DiagonalNoise(len(observations))


class FullParameters(StandardDeviations):
    """The unknowns of noise of unrestricted covariance."""

    correlation: Correlations = Field(
        default=0.0,
        description="Correlations: one number for all pairs of observations, or a list of "
        "(1, 2), (1, 3), (2, 3), (1, 4), ...",
    )


class FullSection(NoiseSection):
    """Noise of unrestricted covariance."""

    unrestricted: ClassVar[bool] = True

    kind: Literal["full"] = Field(
        description="An unknown standard deviation for each observation and an unknown "
        f"correlation for each pair. It takes up to {_MOST_OF_FULL} observations, with `errors` up "
        f"to {_MOST_WITH_ERRORS}."
    )
    shrinkage: NonNegative = Field(
        default=0.1,
        description=(
            "Strength of the penalty that shrinks the noise towards uncorrelated noise. It decides "
            "if law and noise can exchange variance.\n\n"
            "In the descent, the penalty is relative to the information of data that are noise "
            "alone. It shrinks small correlations by 1 / (1 + shrinkage). In the likelihoods of N "
            "systems, it has the weight of shrinkage sqrt(N) observations of noise."
        ),
    )
    start: FullParameters = Field(default_factory=FullParameters, description=START)

    def problems(self, forward: ForwardSection) -> Iterator[ConfigProblem]:
        """Yield a number of observations whose pairs are too many unknowns."""
        count = forward.observation_count()
        vary = self.errors is not None and self.errors.vary
        most = _MOST_WITH_ERRORS if vary else _MOST_OF_FULL
        if count > most:
            pairs = count * (count + 1) // 2
            yield ConfigProblem(
                ("kind",),
                f"got 'full', which has {pairs} unknowns for {count} observations and works with "
                f"matrices of that order; {'with `errors` ' * vary}it is for up to {most} "
                "observations. Choose "
                "'kernel', 'autoregressive', 'blocks' or 'diagonal', or observe less.",
            )

    def value_problems(self, values: Any, forward: ForwardSection) -> Iterator[ConfigProblem]:
        """Yield lists of the wrong length, and correlations that do not go together."""
        count = forward.observation_count()
        yield from length_problems(values, "standard_deviation", count, f"{count} observations")
        yield from pair_problems(values, "correlation", count)

    def noise(self, observations: Observations) -> FullNoise:
        """Return the noise model for the observations."""
        from popinv.population.noise.unstructured import FullNoise

        return FullNoise(len(observations), self.shrinkage)
