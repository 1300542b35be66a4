"""The base class of the sections of forward models.

The section of a kind stands in the module ``section`` of its package, as a subclass of
`ForwardSection`: the keys of the configuration with their defaults and bounds, and what follows
from them, namely the parameters, the observations and the cost of a solve. It is quick to import.
What takes longer, the solver, is in ``model`` beside it and imported where it is needed.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self, cast

import numpy as np
from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from popinv.errors import ConfigError
from popinv.forward.base import ForwardModel, Observations, Parameter
from popinv.forward.registry import PACKAGES
from popinv.sections.base import Section
from popinv.sections.messages import ConfigProblem
from popinv.sections.outside import Kind, is_outside, named_class

if TYPE_CHECKING:
    import xarray as xr

    from popinv.forward.fields import Field as RandomField
    from popinv.forward.inputs.section import Inputs


# Floating-point operations a second of one core.
FLOPS = 1e9
# Time steps of a system, each of which takes a microsecond or more.
MOST_STEPS = 10_000_000


@dataclass(frozen=True)
class ForwardCost:
    """Memory and time for solving, as upper bounds for the requests of jobs on a cluster.

    The counts are of the arrays that grow with the mesh and of the operations on them; the rates
    are a few times those measured on one core.

    Parameters
    ----------
    megabytes : float
        Memory beside Python and the package, whatever the number of systems.
    seconds : float
        Time for each system.
    setup_seconds : float
        Time once for each job.
    process_megabytes : float
        Part of ``megabytes`` that each process takes, however many there are.
    state : float
        Numbers of the whole state of a system, as pictures show it.
    distributed_megabytes, distributed_seconds : float
        Further memory and time, all processes together, where they share a solve.
    guess : bool
        Whether nothing is known of the solver, so that the time of its solves is measured.
    """

    megabytes: float
    seconds: float
    setup_seconds: float = 0.0
    process_megabytes: float = 0.0
    state: float = 0.0
    distributed_megabytes: float = 0.0
    distributed_seconds: float = 0.0
    guess: bool = False


class MayBeRandom(Section):
    """The key of forward models that may give another answer at the same parameters."""

    stochastic: bool = Field(
        default=False,
        strict=True,
        description=(
            "Whether the simulator is random itself: two runs with the same parameters differ. The "
            "study then learns mean and covariance of its answer as functions of the parameters, "
            "and tells this intrinsic variation apart from the measurement noise.\n\n"
            "`popinv try` detects a random simulator. Each replicate of a system is a run of its "
            "own. The surrogate is a network; give it many solves, ten times as many as systems."
        ),
    )

    def takes_seeds(self) -> bool:
        """Return whether the model may draw its random numbers from seeds that it is given."""
        return True

    def is_given_seeds(self) -> bool:
        """Return whether each system of a call has a seed, which decides on its random numbers."""
        return self.takes_seeds()


class ForwardSection(Kind):
    """The section of a forward model, and its interface to the rest of a study."""

    kind: str = Field(description="The kind of forward model.")
    may_be_exact: ClassVar[bool] = False
    """Whether the estimators may go through the forward model itself, without a surrogate."""

    @model_validator(mode="before")
    @classmethod
    def _shares_no_solve(cls, given: Any) -> Any:
        if isinstance(given, dict) and "ranks" in given and "ranks" not in cls.model_fields:
            raise PydanticCustomError(
                "ranks",
                "this kind of forward model is solved by one process: leave 'ranks' out",
            )
        return given

    @abstractmethod
    def parameters(self) -> tuple[Parameter, ...]:
        """Return the entries of z, in order."""

    @abstractmethod
    def observed(self, seed: int) -> Observations:
        """Return the observations of each system, without building the solver.

        Parameters
        ----------
        seed : int
            The study's seed, from which random places are drawn.
        """

    @abstractmethod
    def model(self, seed: int) -> ForwardModel:
        """Return the forward model.

        Parameters
        ----------
        seed : int
            The study's seed.
        """

    def design(self) -> tuple[Parameter, ...]:
        """Return what is known of each system and enters the solver after the parameters."""
        return ()

    def stated_times(self) -> list[float] | None:
        """Return the times that the user states for the user's own simulator, if any."""
        return None

    def wider(self, times: Sequence[float] | None, events: int = 0) -> Self:
        """Return the section observed at other times, with room for a number of events.

        Parameters
        ----------
        times : sequence of float or None
            Those of the section and others, in increasing order. None leaves them.
        events : int
            Largest number of events of a system.
        """
        return self

    def takes_times(self) -> bool:
        """Return whether it gives the observations at any times that it is asked for."""
        return False

    def timed_inputs(self) -> Inputs | None:
        """Return the section of the inputs over time, whose numbers are the last of the design."""
        return None

    def design_names(self) -> tuple[str, ...]:
        """Return the names of the entries of the design."""
        return tuple(each.name for each in self.design())

    def inputs(self) -> tuple[Parameter, ...]:
        """Return the inputs of the solver: the parameters, then the design."""
        return (*self.parameters(), *self.design())

    def cost(self) -> ForwardCost:
        """Return the cost of solving. The default is a guess, which a retry doubles."""
        return ForwardCost(megabytes=1000.0, seconds=3.0, setup_seconds=600.0, guess=True)

    def measured_cost(self, seconds: float) -> ForwardCost:
        """Return the cost of solving where a solve took ``seconds`` on average."""
        return replace(self.cost(), seconds=seconds)

    def called(self) -> str:
        """Return the name by which the user knows the simulator, in Markdown."""
        return f"`{self.kind}`" if is_outside(self.kind) else self.kind.replace("_", " ")

    def solving_seconds(self, systems: int, each: float) -> float:
        """Return the time in which a job solves ``systems`` systems of ``each`` seconds."""
        return systems * each

    def random_field(self) -> RandomField | None:
        """Return the random field that the first parameters describe, None if there is none."""
        return None

    def states(
        self, seed: int, z: np.ndarray, stage: str, indices: Sequence[int]
    ) -> xr.Dataset | None:
        """Return the whole states of a few systems, or None if there are only observations.

        See `popinv.forward.states.states`.
        """
        return None

    def has_states(self) -> bool:
        """Return whether the forward model can show whole states."""
        return type(self).states is not ForwardSection.states

    def parameter_names(self) -> tuple[str, ...]:
        """Return the names of the entries of z."""
        return tuple(parameter.name for parameter in self.parameters())

    def observation_count(self) -> int:
        """Return the number of observations of each system, d_y."""
        return len(self.observed(0))

    def time_count(self) -> int | None:
        """Return the length of the time series at each place, None if there is no time."""
        return self.observed(0).time_count

    def times_are_regular(self) -> bool:
        """Return whether the times are equally spaced, to the digits in which they are given."""
        if self.time_count() is None:
            return True
        steps = np.diff(np.unique(self.observed(0).coordinates[:, -1]))
        return not len(steps) or bool(steps.max() - steps.min() <= 1e-6 * steps.max())

    def has_sampling_error(self) -> bool:
        """Return whether two solves at the same parameters differ by a sampling error."""
        return self.is_random()

    def is_random(self) -> bool:
        """Return whether the study learns the covariance of the answer of a random simulator."""
        return bool(getattr(self, "stochastic", False))

    def field_law(self) -> str | None:
        """Return the kind of the law that goes with the random field, None without a field."""
        return None

    def beside_field(self) -> tuple[str, ...]:
        """Return the parameters in addition to the field's own, each with a lognormal law."""
        return ()

    def default_law(self) -> dict[str, Any]:
        """Return the section of the default law, empty if the user must give one."""
        return {}

    def default_noise(self) -> dict[str, Any]:
        """Return the section of the default noise."""
        return {"kind": "diagonal"}

    def solver_modules(self) -> tuple[str, ...]:
        """Return the modules that the model imports only for some values of these keys."""
        return ()

    def source_files(self) -> tuple[Path, ...]:
        """Return the user's files whose change must repeat the solves, sorted."""
        return ()

    def check_files(self) -> None:
        """Check that what the section names or needs is there, such as files, and fits it.

        Raises
        ------
        ConfigError
            The message states the key, the given name, and the nearest existing name.
        """

    def is_default(self, key: str) -> bool:
        """Return whether a key has its default, if the default depends on no other key."""
        return bool(getattr(self, key) == type(self).model_fields[key].default)

    def problems(self) -> Iterator[ConfigProblem]:
        """Yield contradictions within the section, with paths that begin at it."""
        yield from ()


class PackagedSection(ForwardSection):
    """The section of an installed kind, whose solver is in the module ``model`` beside it."""

    def model(self, seed: int) -> ForwardModel:
        """Return the forward model, as ``forward_model`` of that module makes it."""
        model: ForwardModel = self.beside("model").forward_model(self, seed)
        return model

    def beside(self, name: str) -> Any:
        """Return a module beside the section's module, which computes and is imported late."""
        return import_module(f"{type(self).__module__.rpartition('.')[0]}.{name}")


class SharedSection(Protocol):
    """The section of a forward model whose solves several processes share, its ``ranks``."""

    ranks: int

    def distributed_model(self, seed: int, comm: Any) -> ForwardModel:
        """Return the forward model; every process of a communicator calls its methods alike.

        Parameters
        ----------
        seed : int
            The study's seed.
        comm : mpi4py communicator
        """
        ...


def forward_section(forward: ForwardSection | Mapping[str, Any]) -> ForwardSection:
    """Return the section of a forward model; only the module of its kind is imported.

    Parameters
    ----------
    forward : ForwardSection or mapping
        The section itself, or the section as the configuration holds it.
    """
    if isinstance(forward, ForwardSection):
        return forward
    return section_class(forward["kind"]).model_validate(forward)


def section_class(kind: str) -> type[ForwardSection]:
    """Return the class of the sections of a kind; only its module ``section`` is imported.

    Raises
    ------
    ConfigError
        If there is no such kind.
    """
    if is_outside(kind):
        return cast("type[ForwardSection]", named_class(kind, ForwardSection))
    if kind not in PACKAGES:
        raise ConfigError(
            f"there is no forward model of kind '{kind}'; the kinds are {', '.join(PACKAGES)}"
        )
    module = import_module(f"{PACKAGES[kind]}.section")
    classes = (value for value in vars(module).values() if isinstance(value, type))
    return next(
        each
        for each in classes
        if issubclass(each, ForwardSection) and each.__module__ == module.__name__
    )


def mode_problems(dimension: int, modes: int, elements: int) -> Iterator[ConfigProblem]:
    """Yield wave numbers that make no field, or exceed those that a mesh can resolve."""
    if modes < dimension:
        yield ConfigProblem(("modes",), f"got {modes}, but it must be at least 2 in 2-D.")
    if modes > elements:
        yield ConfigProblem(
            ("modes",),
            f"got {modes}, but the mesh has {elements} elements along its length, too few to "
            "resolve these wave numbers; lower 'modes' or raise 'elements'.",
        )
