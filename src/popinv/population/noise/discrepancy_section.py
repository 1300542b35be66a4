"""The key ``discrepancy`` of the noise: by how much the simulator itself errs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from popinv.forward.section import ForwardSection
from popinv.sections.base import NAMED, ONE, ONE_OR_NAMED, Positive, Section
from popinv.sections.messages import ConfigProblem

if TYPE_CHECKING:
    from popinv.forward.base import Observations
    from popinv.population.noise.discrepancy import OwnDiscrepancy, SharedDiscrepancy

ProcessKernel = Literal["exponential", "matern32", "matern52", "squared_exponential"]

# Each observation has a value of the discrepancy, and the prior a matrix of all of them.
MOST_OBSERVATIONS = 200
# Fewer observations do not tell the size of a discrepancy.
FEWEST_OBSERVATIONS = 3


def own_sensors(forward: ForwardSection) -> bool:
    """Return whether each system has sensors at places of its own."""
    return forward.observed(0).own_sensors


def _values(forward: ForwardSection) -> int:
    """Return the number of values of a shared discrepancy."""
    from popinv.population.noise.knots import KNOTS

    return KNOTS if own_sensors(forward) else forward.observation_count()


class SharedProcess(Section):
    """A Gaussian process over the places and times of the observations."""

    kernel: ProcessKernel = Field(
        default="matern52", description="The decay of the correlation with distance."
    )


class ProcessStart(Section):
    """The start of the descent for the unknowns of a Gaussian process."""

    amplitude: Positive = Field(
        default=0.1, description="Standard deviation, in the unit of the observations."
    )
    length: Positive = Field(
        default=0.3,
        description="Correlation length, in the unit of the places of the observations.",
    )


class OwnProcess(Section):
    """A Gaussian process of each system over the places and times of its observations."""

    kernel: ProcessKernel = Field(
        default="squared_exponential", description="The decay of the correlation with distance."
    )
    start: ProcessStart = Field(default_factory=ProcessStart, description="Start of the descent.")


SharedKey = Annotated[
    Annotated[Literal["free"], ONE] | Annotated[SharedProcess, NAMED], ONE_OR_NAMED
]


class Discrepancy(Section):
    """The discrepancy of the simulator, y = G(z) + b + b_n + noise."""

    shared: SharedKey | None = Field(
        default=None,
        description=(
            "The error b that is the same in all systems. `free`: independent values, one for each "
            "observation. `{kernel: matern52}`: a Gaussian process over places and times. The "
            "observations determine its amplitude and length. null: none."
        ),
    )
    own: OwnProcess | None = Field(
        default=None,
        description=(
            "The error b_n of each system, a Gaussian process over places and times with an "
            "amplitude and a length of its own. The replicates of a system share it. null: none."
        ),
    )

    def start_values(self) -> dict[str, Any]:
        """Return the start of the parameters that are added; those of b have a default."""
        if self.own is None:
            return {}
        start = self.own.start.model_dump()
        return {f"discrepancy_own_{name}": value for name, value in start.items()}

    def optional(self) -> tuple[str, ...]:
        """Return the names of true values that may be left out: b is then zero."""
        sizes = ("discrepancy", "discrepancy_amplitude", "discrepancy_length")
        if self.shared is None:
            return ()
        return sizes if isinstance(self.shared, SharedProcess) else sizes[:2]

    def value_problems(
        self, values: Mapping[str, Any], forward: ForwardSection | None
    ) -> Iterator[ConfigProblem]:
        """Yield true values that are no list of the discrepancy, or no positive size."""
        for name in (*self.optional(), *self.start_values()):
            if name not in values:
                continue
            value = values[name]
            if name != "discrepancy":
                if not isinstance(value, int | float) or value <= 0:
                    yield ConfigProblem((name,), f"got {value}, but it must be positive.")
            elif not isinstance(value, list):
                yield ConfigProblem(
                    (name,), f"got {value}, but it must be a list, a number for each observation."
                )
            elif forward is not None and len(value) != (count := _values(forward)):
                told = "knots" if own_sensors(forward) else "observations of each system"
                yield ConfigProblem(
                    (name,),
                    f"got {len(value)} numbers, but there are {count} {told}; give one for each.",
                )

    def terms(
        self, observations: Observations, covariates: int
    ) -> dict[str, OwnDiscrepancy | SharedDiscrepancy]:
        """Return the terms "own" and "shared" of the noise that are stated.

        Parameters
        ----------
        covariates : int
            Number of covariates, which the places of own sensors follow
            (:func:`popinv.population.known.known_of`).
        """
        from popinv.population.noise.discrepancy import OwnDiscrepancy, SharedDiscrepancy
        from popinv.population.noise.kernel import KernelNoise
        from popinv.population.noise.knots import SensorKnots

        found: dict[str, OwnDiscrepancy | SharedDiscrepancy] = {}
        if self.own is not None:
            process = KernelNoise(observations.coordinates, self.own.kernel, nugget=False)
            found["own"] = OwnDiscrepancy(process)
        if self.shared is not None:
            kernel = self.shared.kernel if isinstance(self.shared, SharedProcess) else None
            if observations.own_sensors:
                sensors = SensorKnots(covariates, len(observations))
                found["shared"] = SharedDiscrepancy(sensors.knots[:, None], kernel, sensors)
            else:
                found["shared"] = SharedDiscrepancy(observations.coordinates, kernel)
        return found

    def problems(self, forward: ForwardSection) -> Iterator[ConfigProblem]:
        """Yield conflicts with the forward model, with paths that begin at the section."""
        if self.shared is None and self.own is None:
            yield ConfigProblem(
                (),
                "got neither 'shared' nor 'own'; state one of them, such as 'shared: free', or "
                "leave 'discrepancy' out.",
            )
            return
        count = forward.observation_count()
        if not FEWEST_OBSERVATIONS <= count <= MOST_OBSERVATIONS:
            yield ConfigProblem(
                (),
                f"there are {count} observations of each system, but a discrepancy has a value at "
                f"each, and needs {FEWEST_OBSERVATIONS} to {MOST_OBSERVATIONS} of them.",
            )
