"""The problem of an estimate (data, simulator, law, noise), and the state of a descent."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from popinv.inference.density.conditions import Conditions
from popinv.inference.density.division import Part, systems_of_rank
from popinv.inference.estimators.settings import DescentSettings
from popinv.late import torch
from popinv.population.known import Known, inputs
from popinv.population.laws.base import Law
from popinv.population.members import (
    member_simulator,
    members_apart,
    of_one_member,
    of_replicates,
)
from popinv.population.noise.terms import Noise, composed
from popinv.population.places import simulator_at_places
from popinv.population.priors.prior import Prior, StatedPrior
from popinv.seeds import generator
from popinv.store.rows import Rows, part_of
from popinv.surrogate.simulator import is_exact
from popinv.workers import communicator

Simulate = Callable[["torch.Tensor"], "torch.Tensor"]


class _Replicated:
    """G, R times side by side: Tensor (n, d_z) to Tensor (n, R d_y)."""

    def __init__(self, simulate: Simulate, count: int) -> None:
        self.simulate, self.count = simulate, count

    def __call__(self, z: torch.Tensor) -> torch.Tensor:
        return self.simulate(z).repeat(1, self.count)

    @property
    def exact(self) -> bool:
        """Whether the simulator is the forward model itself."""
        return is_exact(self.simulate)


class _Linearised(_Replicated):
    """G, R times side by side, with derivatives along tangents."""

    @property
    def differentiable(self) -> bool:
        """Whether the simulator has derivatives."""
        return bool(getattr(self.simulate, "differentiable", True))

    def linearise(
        self, z: torch.Tensor, tangents: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return y for z (n, d_z) and its derivatives along tangents (k, n, d_z)."""
        y, change = self.simulate.linearise(z, tangents)  # type: ignore[attr-defined]
        return y.repeat(1, self.count), change.repeat(1, 1, self.count)


def replicated_simulator(simulate: Simulate, count: int) -> Simulate:
    """Return the simulator of R replicates; one replicate returns the simulator unchanged.

    The forward model is solved once for each system, so that a surrogate returns d_y numbers, and
    not R d_y.
    """
    if count == 1:
        return simulate
    return (_Linearised if hasattr(simulate, "linearise") else _Replicated)(simulate, count)


@dataclass(frozen=True)
class Problem:
    """The data, the model and the settings of an estimate.

    Parameters
    ----------
    data : ndarray or StoredRows of shape (N, d_y)
        Observations, in memory or in their store.
    simulate : callable
        G or its surrogate: Tensor (M, d_z) to Tensor (M, d_y), differentiable.
    law, noise : Law, Noise
        The noise has the replicates that an observation consists of, side by side, and a law with
        levels the members of a group, if each system is one. ``d_y`` counts the entries of all of
        them. A family of noise is taken for noise without terms.
    scale : ndarray of shape (n_p,)
        Natural size of a change of each entry of p; no step is longer than ``max_step`` of it.
    seed, stage : int, str
        Address of the random draws.
    free_law, free_noise : bool
        Whether alpha and gamma move; an oracle holds one of them at the truth.
    conditions : Conditions, optional
        Noise scales, missing entries, design and covariates of the N systems; plain by default.
    fixed : tuple of int
        Entries of p that do not move though their half does.
    union : Problem, optional
        The problem at all places, as it was built, if each system is observed at its own places
        (:mod:`popinv.population.places`).
    part : Part, optional
        What is known of all systems, if the data belong to a rank's own systems; see
        :meth:`divided`.
    stated_prior : StatedPrior
        The priors that the study states, in addition to the law's own.
    """

    data: Rows
    simulate: Callable[[torch.Tensor], torch.Tensor]
    law: Law
    noise: Noise
    scale: np.ndarray
    seed: int = 0
    stage: str = "descent"
    free_law: bool = True
    free_noise: bool = True
    conditions: Conditions = field(default=None)  # type: ignore[assignment]
    fixed: tuple[int, ...] = ()
    union: Problem | None = None
    part: Part | None = None
    stated_prior: StatedPrior = field(default_factory=StatedPrior)

    def __post_init__(self) -> None:
        object.__setattr__(self, "noise", composed(self.noise))
        given = self.conditions
        if given is None or (given.plain and given.present.shape != self.data.shape):
            object.__setattr__(self, "conditions", Conditions.stated(self.data.shape))

    @property
    def at_all_places(self) -> Problem:
        """The problem, as it was built, with the observations at all places of any system."""
        return self if self.union is None else self.union

    @property
    def members(self) -> int:
        """M, the number of members of a group, if each system is one."""
        return self.law.members

    @property
    def replicates(self) -> int:
        """R, the number of replicates of a system; of a group, of all members together."""
        return self.noise.replicates

    def divided(self) -> Problem:
        """Return the problem of a rank's own systems, or itself if the systems are not divided.

        Systems are not divided if they are few, or if only one process may call the simulator. All
        ranks then have all systems, and share loops over them.
        """
        if (ranks := communicator()) is None:
            return self
        own = systems_of_rank(len(self.data), ranks.rank, ranks.size)
        if own is None:
            return self
        return replace(
            self,
            data=part_of(self.data, own),
            conditions=self.conditions.of(np.arange(own.start, own.stop)),
            part=Part(own.start, self.data, self.conditions, ranks),
        )

    @property
    def whole(self) -> Problem:
        """The problem of all systems."""
        if self.part is None:
            return self
        return replace(self, data=self.part.data, conditions=self.part.conditions, part=None)

    @property
    def count(self) -> int:
        """N, the number of all systems."""
        return len(self.data) if self.part is None else len(self.part.data)

    @property
    def units(self) -> int:
        """Number of independent units: systems, or labels of crossed levels."""
        return self.law.units(self.whole.present_members)

    @property
    def numbers(self) -> np.ndarray:
        """The numbers of the own systems among all, (n,)."""
        return np.arange(len(self.data)) + (0 if self.part is None else self.part.first)

    def has(self, systems: np.ndarray) -> np.ndarray:
        """Return which of some systems, by their numbers among all, are the rank's own."""
        first = 0 if self.part is None else self.part.first
        return (systems >= first) & (systems < first + len(self.data))

    def rows_of(self, systems: np.ndarray) -> np.ndarray:
        """Return the rows of the own systems among some systems."""
        return systems[self.has(systems)] - (0 if self.part is None else self.part.first)

    @property
    def present_members(self) -> np.ndarray:
        """Boolean mask (n, M): the members of the own systems that have an observation.

        A system that is no group is its own member, also without an observation.
        """
        present = self.conditions.present.reshape(len(self.data), self.members, -1)
        return np.asarray(present.any(axis=2) | (self.members == 1))

    @property
    def surrogate(self) -> Simulate:
        """The simulator of one member and all places; of all replicates, if there are no groups."""
        simulate = self.at_all_places.simulate
        return simulate if self.members == 1 else of_one_member(simulate)

    @property
    def solves_show_error(self) -> bool:
        """Whether each solve less the surrogate's answer is an error of the surrogate.

        The forward model itself has none. A single solve of a random simulator differs from the
        learned mean by its intrinsic variation, which is no error.
        """
        return not (is_exact(self.simulate) or self.noise.intrinsic)

    @property
    def correctable(self) -> bool:
        """Whether fresh solves measure together how the surrogate's error moves an answer.

        The forward model itself has none. A solve of a random simulator is one run, so that a
        system with replicates, which are runs of their own at the same parameters, has none.
        """
        of_runs = self.noise.intrinsic and self.replicates > 1
        return not (is_exact(self.simulate) or of_runs)

    def inputs_apart(self, z: np.ndarray) -> np.ndarray:
        """Return the inputs (m M, d + k) of each member for groups with inputs (m, inputs)."""
        return members_apart(torch.from_numpy(z), self.members, self.d_z).numpy()

    @property
    def d_z(self) -> int:
        """Number of parameters of one member."""
        return self.law.d_z // self.members

    def of_one_member(self, z: np.ndarray) -> np.ndarray:
        """Return the parameters (m, d) of one member of each row (m, M d) of systems in turns.

        The present members of a group take turns too.
        """
        row, present = np.arange(len(z)), self.present_members
        system, turn = row % len(present), row // len(present)
        order = np.argsort(~present, axis=1, kind="stable")
        chosen = order[system, turn % present.sum(axis=1)[system]]
        each: np.ndarray = z.reshape(len(z), self.members, -1)
        return each[row, chosen]

    @property
    def d_alpha(self) -> int:
        """Number of parameters of the law."""
        return len(self.law.names)

    @property
    def free(self) -> np.ndarray:
        """Boolean mask (n_p,) of the entries of p that move."""
        moves = [self.free_law] * self.d_alpha + [self.free_noise] * len(self.noise.names)
        return np.array([moves[i] and i not in self.fixed for i in range(len(moves))])

    @property
    def logarithmic(self) -> np.ndarray:
        """Boolean mask (n_p,) of the entries of p without unit, such as logarithms."""
        return np.array([*self.law.unitless, *[True] * len(self.noise.names)])

    @cached_property
    def prior(self) -> Prior:
        """The prior of law and noise."""
        return Prior.of(self.law, self.noise, self.stated_prior)

    def split(self, p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return alpha and gamma of p."""
        return p[: self.d_alpha], p[self.d_alpha :]

    def tensors(self, p: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """Return copies of alpha and gamma of p as tensors."""
        at = torch.tensor(p, dtype=torch.float64)
        return at[: self.d_alpha], at[self.d_alpha :]

    def natural(self, p: np.ndarray) -> np.ndarray:
        """Return the natural values of law and noise at p (n_p,), in one array."""
        alpha, gamma = self.split(p)
        return np.concatenate([self.law.to_natural(alpha), self.noise.to_natural(gamma)])

    def model(
        self,
        p: torch.Tensor,
        omega: torch.Tensor,
        e: torch.Tensor,
        systems: np.ndarray | None = None,
    ) -> torch.Tensor:
        """Return y = G(T(alpha, omega)) + s xi, shape (M, d_y), unseen entries filled.

        Parameters
        ----------
        p : Tensor of shape (n_p,)
        omega, e : Tensor of shape (M, d_omega), (M, d_y)
            Standard normal numbers.
        systems : ndarray of int, shape (M,), optional
            The observed system whose conditions each row takes. Without it, or if no system has
            any, the scale s is 1 and every entry is seen.
        """
        alpha, gamma = p[: self.d_alpha], p[self.d_alpha :]
        known = self.known_in_turns(len(omega), systems)
        return self.observed(gamma, self.signal(alpha, omega, known), e, systems)

    def observed(
        self,
        gamma: torch.Tensor,
        signal: torch.Tensor,
        e: torch.Tensor,
        systems: np.ndarray | None = None,
    ) -> torch.Tensor:
        """Return the observations (M, d_y) of signals; the arguments are as for `model`."""
        covariates = self.known_in_turns(len(signal), systems).covariates
        # A discrepancy is a part of what is measured, so that the noise may grow with it.
        signal = self.noise.shifted(gamma, signal, covariates)
        scale = None
        if systems is not None and self.conditions.scaled:
            scale = torch.from_numpy(self.conditions.scale[systems])
        noise = self.noise.sample_given(gamma, e, signal, covariates, scale)
        return self.seen_through(signal, noise, systems)

    def seen_through(
        self, signal: torch.Tensor, noise: torch.Tensor, systems: np.ndarray | None = None
    ) -> torch.Tensor:
        """Return the observations (M, d_y) of signals with noise (M, d_y) of scale 1."""
        clean = self.noise.mean(signal)
        if systems is None:
            return clean + noise
        return self.conditions.observe(clean, noise, systems)

    def known_in_turns(self, count: int, systems: np.ndarray | None = None) -> Known:
        """Return the known quantities of these systems, or else of the first ones in turns."""
        return self.known.in_turns(count) if systems is None else self.known.of(systems)

    def noise_factor(
        self, gamma: torch.Tensor, signal: torch.Tensor, systems: np.ndarray | None = None
    ) -> torch.Tensor:
        """Return the Cholesky factor of the noise's covariance, or of its mean over signals."""
        covariates = self.known_in_turns(len(signal), systems).covariates
        return self.noise.mean_factor(gamma, signal, covariates)

    @property
    def is_normal(self) -> bool:
        """Whether y given its signal g is normal, with a covariance that does not depend on g."""
        return self.noise.is_normal and not self.conditions.limited

    @property
    def noise_varies(self) -> bool:
        """Whether the noise depends on the signal or on the system, or observations have limits."""
        return self.noise.varies or self.conditions.limited

    @property
    def known(self) -> Known:
        """Design and covariates of the N systems."""
        return self.conditions.known

    def signal(
        self, alpha: torch.Tensor, omega: torch.Tensor, known: Known | None = None
    ) -> torch.Tensor:
        """Return the noise-free observations G(T(alpha, omega)), shape (M, d_y).

        Parameters
        ----------
        alpha : Tensor of shape (d_alpha,) or (M, d_alpha)
        omega : Tensor of shape (M, d_omega)
        known : Known of M systems, optional
            Design and covariates of each row. The first systems take turns by default.
        """
        own = self.known_in_turns(len(omega)) if known is None else known
        return self.simulate(inputs(self.law, alpha, omega, own))

    def through(self, simulator: Callable[[torch.Tensor], torch.Tensor]) -> Problem:
        """Return the problem with another simulator, which answers one replicate."""
        own = simulator_at_places(simulator, self.noise.own_places)
        return replace(
            self,
            simulate=member_simulator(
                replicated_simulator(own, self.replicates // self.members),
                self.members,
                self.d_z,
            ),
            union=None if self.union is None else self.union.through(simulator),
        )

    def replicated(self, clean: np.ndarray) -> np.ndarray:
        """Return noise-free observations of one replicate (n, d) for all replicates, (n, R d).

        Groups have noise-free observations (n, M d) of one replicate of each member.
        """
        return of_replicates(clean, self.replicates, self.members)

    def of_systems(self, systems: np.ndarray) -> Problem:
        """Return the problem with some of its rows alone; they may come up several times."""
        some = self.data[systems]
        return replace(self, data=some, conditions=self.conditions.of(systems), part=None)

    def held(self, entries: Iterable[int]) -> Problem:
        """Return the problem with further entries of p held."""
        return replace(self, fixed=tuple(sorted({*self.fixed, *entries})))

    @property
    def of_distance(self) -> Problem:
        """The problem of the distance, which holds a discrepancy of the simulator.

        Its loss weighs the prior of a discrepancy too little to keep it apart from the law.
        """
        return self.held((self.d_alpha + np.flatnonzero(self.noise.of_shape)).tolist())

    @property
    def of_moments(self) -> Problem:
        """The problem with parameters held that do not affect mean and covariance of the noise."""
        held = tuple(self.d_alpha + i for i in self.noise.without_moments)
        return replace(self, fixed=(*self.fixed, *held)) if held else self

    def random_systems(self, stage: str, index: int, count: int) -> np.ndarray | None:
        """Draw the systems whose conditions simulated ones take; None if all are alike."""
        if self.conditions.plain:
            return None
        return generator(self.seed, stage, index).integers(len(self.conditions), size=count)


@dataclass(frozen=True)
class DescentState:
    """The complete state of a descent, from which it can continue.

    ``path`` (iterations, n_p), ``loss`` (iterations,) and ``fixed_loss`` (iterations,) are filled
    up to ``iteration``; ``fixed_loss`` is NaN where it was not evaluated. The curvature was taken
    at ``curvature_parameters``.
    """

    iteration: int
    parameters: np.ndarray
    start: np.ndarray
    curvature: np.ndarray
    curvature_parameters: np.ndarray
    first_moment: np.ndarray
    second_moment: np.ndarray
    path: np.ndarray
    loss: np.ndarray
    fixed_loss: np.ndarray


def begin(
    alpha: np.ndarray,
    gamma: np.ndarray,
    settings: DescentSettings,
    curvature: np.ndarray | None = None,
) -> DescentState:
    """Return the state before the first step, with the initial curvature if it is known."""
    p = np.concatenate([alpha, gamma]).astype(float)
    n_p, count = len(p), settings.iterations
    return DescentState(
        iteration=0,
        parameters=p,
        start=p,
        curvature=np.zeros((n_p, n_p)) if curvature is None else curvature,
        curvature_parameters=p,
        first_moment=np.zeros(n_p),
        second_moment=np.zeros(n_p),
        path=np.full((count, n_p), np.nan),
        loss=np.full(count, np.nan),
        fixed_loss=np.full(count, np.nan),
    )
