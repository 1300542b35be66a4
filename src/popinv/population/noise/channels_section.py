"""The section of noise of several channels, with correlations between them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field, field_validator
from pydantic_core.core_schema import ValidationInfo

from popinv.forward.section import ForwardSection
from popinv.population.noise.section import (
    START,
    Correlations,
    NoiseSection,
    OptionalParameters,
    Positives,
    length_problems,
    pair_problems,
)
from popinv.sections.base import Positive, Several
from popinv.sections.messages import ConfigProblem

if TYPE_CHECKING:
    from popinv.forward.base import Observations
    from popinv.population.noise.channels import ChannelNoise


_LENGTH = 1.0


class ChannelParameters(OptionalParameters):
    """The unknowns of noise of several channels."""

    standard_deviation: Positives = Field(
        default=0.3,
        description="Standard deviation in the unit of the observations: one number for all, or a "
        "list with one for each channel.",
    )
    correlation: Correlations = Field(
        default=0.0,
        description="Correlations: one number for all pairs of channels, or a list of (1, 2), "
        "(1, 3), (2, 3), (1, 4), ...",
    )
    length: Positive | None = Field(
        default=None,
        description="Time over which the correlation falls by a factor e, with correlated times.",
        json_schema_extra={"x-default": f"{_LENGTH:g} where times are correlated"},
    )


class ChannelSection(NoiseSection):
    """Noise of several channels, such as the components of a displacement or several outputs."""

    pools_observations: ClassVar[bool] = True

    kind: Literal["channels"] = Field(
        description=(
            "An unknown standard deviation for each channel and an unknown correlation for each "
            "pair. The times need not be regular."
        )
    )
    channels: Several | None = Field(
        default=None,
        description=(
            "Number of channels. The entries at one time are groups of consecutive channels, such "
            "as x and y at each sensor. Groups are independent."
        ),
        json_schema_extra={"x-default": "the number of entries at one time"},
    )
    times: Literal["independent", "exponential"] = Field(
        default="independent",
        description=(
            "`independent`: noise is independent between times. `exponential`: its correlation "
            "falls exponentially with the time between two observations."
        ),
    )
    start: ChannelParameters = Field(default_factory=ChannelParameters, description=START)

    @field_validator("start")
    @classmethod
    def _length_with_times(
        cls, start: ChannelParameters, info: ValidationInfo
    ) -> ChannelParameters:
        return start.having(
            "length",
            info.data.get("times") == "exponential",
            _LENGTH,
            "'length' is given, but the times are independent; leave it out, or set 'times: "
            "exponential'",
        )

    def problems(self, forward: ForwardSection) -> Iterator[ConfigProblem]:
        """Yield entries that are not groups of channels, and times that are missing."""
        entries = forward.observation_count() // (forward.time_count() or 1)
        count = self.channels or entries
        if count < 2 or entries % count:
            yield ConfigProblem(
                ("channels",),
                f"got {count}, but there are {entries} entries at each time; give a number of at "
                "least 2 that divides them, or choose another kind of noise.",
            )
        if self.times == "exponential" and forward.time_count() is None:
            yield ConfigProblem(
                ("times",),
                "got 'exponential', but the observations have no times; choose 'independent'.",
            )

    def value_problems(self, values: Any, forward: ForwardSection) -> Iterator[ConfigProblem]:
        """Yield lists of the wrong length, and correlations that do not go together."""
        entries = forward.observation_count() // (forward.time_count() or 1)
        count = self.channels or entries
        yield from length_problems(values, "standard_deviation", count, f"{count} channels")
        if count >= 2:
            yield from pair_problems(values, "correlation", count)

    def noise(self, observations: Observations) -> ChannelNoise:
        """Return the noise model for the observations."""
        from popinv.population.noise.channels import ChannelNoise

        times = observations.time_count or 1
        entries = len(observations) // times
        at = np.zeros(1) if times == 1 else np.asarray(observations.coordinates[:times, -1], float)
        count = self.channels or entries
        return ChannelNoise(entries // count, count, at, self.times == "exponential")
