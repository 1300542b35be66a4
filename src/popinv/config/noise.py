"""The family of noise covariances, and where the descent on it starts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError
from pydantic_core.core_schema import ValidationInfo

from popinv.config.base import Count, NonNegative, Section
from popinv.config.forward.base import ForwardSection
from popinv.config.messages import Problem
from popinv.config.noise_parameters import (
    LENGTH,
    NUGGET,
    PLACE_CORRELATION,
    AutoregressiveParameters,
    BlockParameters,
    FullParameters,
    KernelParameters,
    StandardDeviation,
    StandardDeviations,
)

__all__ = [
    "AutoregressiveNoise",
    "BlockNoise",
    "DiagonalNoise",
    "FullNoise",
    "IsotropicNoise",
    "KernelNoise",
    "Noise",
    "NoiseSection",
]

# Of 80 observations there are 3240 unknowns, whose curvature takes 6 s and 1 GB; docs/cost.md.
_MOST_OF_FULL = 80

_Kernel = Literal["exponential", "matern32", "matern52", "squared_exponential"]
_KERNELS = ("exponential", "matern32", "matern52", "squared_exponential")


class NoiseSection(Section):
    """What the rest of a study may ask of its noise."""

    def problems(self, forward: ForwardSection) -> Iterator[Problem]:
        """Yield what does not fit the forward model, with paths that begin at the section."""
        yield from ()

    def value_problems(self, values: Any, forward: ForwardSection) -> Iterator[Problem]:
        """Yield lists of the wrong length and the like among start or true values.

        Parameters
        ----------
        values : Section
            Of the type of the section's ``start``.
        forward : ForwardSection
        """
        yield from ()


class IsotropicNoise(NoiseSection):
    """Uncorrelated noise of the same size at every sensor."""

    kind: Literal["isotropic"] = Field(description="One unknown standard deviation.")
    start: StandardDeviation = Field(
        default_factory=StandardDeviation, description="Where the descent starts."
    )


class DiagonalNoise(NoiseSection):
    """Uncorrelated noise, each sensor with its own size."""

    kind: Literal["diagonal"] = Field(description="An unknown standard deviation for each sensor.")
    start: StandardDeviations = Field(
        default_factory=StandardDeviations, description="Where the descent starts."
    )

    def value_problems(self, values: Any, forward: ForwardSection) -> Iterator[Problem]:
        """Yield a list that is not one number for each observation."""
        count = forward.observation_count()
        yield from _length(values, "standard_deviation", count, f"{count} observations")


class KernelNoise(NoiseSection):
    """Stationary noise that is correlated from sensor to sensor."""

    kind: Literal["kernel"] = Field(
        description="A stationary kernel over the places of the sensors."
    )
    kernel: _Kernel = Field(
        default="exponential", description="How the correlation falls with distance."
    )
    nugget: bool = Field(
        default=False,
        strict=True,
        description="Whether an uncorrelated part is added, of unknown size.",
    )
    start: KernelParameters = Field(
        default_factory=KernelParameters, description="Where the descent starts."
    )

    @field_validator("start")
    @classmethod
    def _nugget_agrees(cls, start: KernelParameters, info: ValidationInfo) -> KernelParameters:
        if "nugget" not in info.data:
            return start
        if info.data["nugget"] and start.nugget is None:
            return start.model_copy(update={"nugget": NUGGET})
        if start.nugget is not None and not info.data["nugget"]:
            raise PydanticCustomError(
                "nugget", "a nugget is given, but the noise has none; set 'nugget: true' beside it"
            )
        return start


class AutoregressiveNoise(NoiseSection):
    """Stationary noise in time at each place, independent from place to place."""

    kind: Literal["autoregressive"] = Field(
        description="A stationary autoregression in time, for time series at regular times."
    )
    order: Count = Field(
        default=1,
        description="Number of earlier values that a value depends on; the number of times less "
        "one leaves the correlation in time unrestricted but for being stationary.",
    )
    start: AutoregressiveParameters = Field(
        default_factory=AutoregressiveParameters, description="Where the descent starts."
    )

    def problems(self, forward: ForwardSection) -> Iterator[Problem]:
        """Yield a forward model without regular times, or with too few."""
        yield from _times(self.kind, self.order, forward)

    def value_problems(self, values: Any, forward: ForwardSection) -> Iterator[Problem]:
        """Yield a list that is not one number for each lag."""
        yield from _length(values, "correlation", self.order, f"{self.order} lags (order)")


class BlockNoise(NoiseSection):
    """Noise whose covariance is a product of one over places and one in time."""

    kind: Literal["blocks"] = Field(
        description="A covariance over the places (or quantities) times a stationary "
        "autoregression in time, for time series at regular times."
    )
    places: Literal[
        "isotropic",
        "diagonal",
        "exponential",
        "matern32",
        "matern52",
        "squared_exponential",
        "full",
    ] = Field(
        default="isotropic",
        description="Over the places: independent and alike, independent, a stationary kernel of "
        "their coordinates, or unrestricted (for few places).",
    )
    order: Count = Field(
        default=1, description="As that of `autoregressive` noise, the same at every place."
    )
    start: BlockParameters = Field(
        default_factory=BlockParameters, description="Where the descent starts."
    )

    @field_validator("start")
    @classmethod
    def _places_agree(cls, start: BlockParameters, info: ValidationInfo) -> BlockParameters:
        if "places" not in info.data:
            return start
        places = info.data["places"]
        for key, kinds, default in (
            ("length", _KERNELS, LENGTH),
            ("place_correlation", ("full",), PLACE_CORRELATION),
        ):
            given = getattr(start, key)
            if places in kinds and given is None:
                start = start.model_copy(update={key: default})
            if places not in kinds and given is not None:
                raise PydanticCustomError(
                    "blocks",
                    "'{key}' is given, but places '{places}' have none; leave it out",
                    {"key": key, "places": places},
                )
        return start

    def problems(self, forward: ForwardSection) -> Iterator[Problem]:
        """Yield a forward model without regular times, or with too few."""
        yield from _times(self.kind, self.order, forward)

    def value_problems(self, values: Any, forward: ForwardSection) -> Iterator[Problem]:
        """Yield lists of the wrong length, and correlations that do not go together."""
        yield from _length(values, "time_correlation", self.order, f"{self.order} lags (order)")
        places = forward.observation_count() // (forward.time_count() or 1)
        if self.places in ("diagonal", "full"):
            yield from _length(values, "standard_deviation", places, f"{places} places")
        elif isinstance(values.standard_deviation, list):
            yield Problem(
                ("standard_deviation",),
                f"got a list, but places '{self.places}' have one standard deviation for all.",
            )
        if self.places == "full":
            yield from _pairs(values, "place_correlation", places)


class FullNoise(NoiseSection):
    """Noise of unrestricted covariance."""

    kind: Literal["full"] = Field(
        description="An unknown standard deviation for each observation and an unknown "
        f"correlation for each pair: for up to {_MOST_OF_FULL} observations."
    )
    shrinkage: NonNegative = Field(
        default=0.1,
        description="Strength of the pull towards uncorrelated noise, which decides where law and "
        "noise can trade variance. In the descent it is relative to what the data would say if "
        "there were nothing but noise, and shrinks small correlations by 1 / (1 + shrinkage); the "
        "likelihoods of N systems weigh it as shrinkage sqrt(N) observations of noise.",
    )
    start: FullParameters = Field(
        default_factory=FullParameters, description="Where the descent starts."
    )

    def problems(self, forward: ForwardSection) -> Iterator[Problem]:
        """Yield more observations than the square of the number of their pairs allows."""
        count = forward.observation_count()
        if count > _MOST_OF_FULL:
            pairs = count * (count + 1) // 2
            yield Problem(
                ("kind",),
                f"got 'full', which has {pairs} unknowns for {count} observations and works with "
                f"matrices of that order; it is for up to {_MOST_OF_FULL} observations. Choose "
                "'kernel', 'autoregressive', 'blocks' or 'diagonal', or observe less.",
            )

    def value_problems(self, values: Any, forward: ForwardSection) -> Iterator[Problem]:
        """Yield lists of the wrong length, and correlations that do not go together."""
        count = forward.observation_count()
        yield from _length(values, "standard_deviation", count, f"{count} observations")
        yield from _pairs(values, "correlation", count)


def _times(kind: str, order: int, forward: ForwardSection) -> Iterator[Problem]:
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


def _length(values: Any, key: str, count: int, what: str) -> Iterator[Problem]:
    given = getattr(values, key)
    if isinstance(given, list) and len(given) != count:
        yield Problem(
            (key,),
            f"got {len(given)} numbers, but there are {what} of each system; give one for each, "
            "or one number.",
        )


def _pairs(values: Any, key: str, count: int) -> Iterator[Problem]:
    given, wanted = getattr(values, key), count * (count - 1) // 2
    if isinstance(given, list) and len(given) != wanted:
        yield Problem(
            (key,),
            f"got {len(given)} numbers, but {count} have {wanted} pairs; give one for each, or "
            "one number.",
        )
        return
    # Imported here, as nothing else of the configuration needs it and most runs neither.
    import numpy as np

    matrix = np.eye(count)
    rows, columns = np.tril_indices(count, -1)
    matrix[rows, columns] = matrix[columns, rows] = given
    if np.linalg.eigvalsh(matrix)[0] <= 1e-12:
        yield Problem(
            (key,),
            "these correlations do not go together: no noise has them (their matrix is not "
            "positive definite).",
        )


Noise = Annotated[
    IsotropicNoise | DiagonalNoise | KernelNoise | AutoregressiveNoise | BlockNoise | FullNoise,
    Field(discriminator="kind"),
]
