r"""Chains of every system that run until their draws reach an effective sample size.

A draw is two rounds of moves. A round is an elliptical slice move, whose reference is picked at
random among the law and the normal densities about the system's modes, and a Metropolis move with
the mixture of all these (:mod:`popinv.methods.posterior.chains`).

*Law and noise taken as known.* The target is ``p(omega | y_n, alpha, gamma)`` at the estimate.

*Law and noise uncertain.* With draws p_b = (alpha_b, gamma_b) of the estimate's distribution, the
target is

.. math:: p(z \mid y_n) = \frac1B \sum_b p(z \mid y_n, p_b) .

Each draw of a chain belongs to the next p_b, and the chains of a system are at different ones. When
law and noise change, a chain shifts with its mode, and the moves of the draw correct the rest.

Groups of nested levels with many members have draws of another kind in the place of chains
(:mod:`popinv.methods.posterior.group_draws`).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from popinv.inference.density.problem import Problem
from popinv.late import torch
from popinv.methods.posterior.chains import (
    LARGEST_R_HAT,
    effective_sample_size,
    elliptical_slice,
    metropolis,
    split_r_hat,
)
from popinv.methods.posterior.density import Densities
from popinv.methods.posterior.group_draws import (
    Finished,
    GroupDraws,
    groups_together,
    law_of_draw,
    without_error,
)
from popinv.methods.posterior.references import (
    WIDE,
    References,
    references,
    systems_together,
)
from popinv.optimisation.adapted_mixtures import OF_LAW
from popinv.population.known import inputs
from popinv.seeds import generator
from popinv.workers import blocks_of, parallel

# Rounds of moves for a draw, draws omitted at the start of each chain, and draws of the mixture
# from which a chain's start is chosen.
_ROUNDS, WARMUP, _STARTS = 2, 20, 32
# Chains of groups of nested levels with more standard normal numbers are slower than draws by
# their members.
_MANY = 12
# Draws of each chain at the first check, the factor to the next, and draws that are kept.
_FIRST_CHECK, _LATER, _KEPT = 60, 1.4, 1000
# Fewest draws of each chain, whatever the cap on the moves.
_FEWEST = 10


@dataclass(frozen=True)
class Posteriors:
    """Draws of every system, each of shape (chains, draws of the system, d_z).

    Split R-hat (N, d_z) and the effective sample size of all chains (N, d_z) are given for each
    parameter of each system. The moves (N,) count the moves of each chain. The least misfit (N,) is
    ``|r|^2 + |omega|^2`` at the best mode, with law and noise as estimated. Evaluations are calls
    of the surrogate by the moves, counted by system. The places (chains, draws) are the law and
    noise of each draw, among those that were given.
    """

    draws: list[np.ndarray]
    r_hat: np.ndarray
    effective: np.ndarray
    moves: np.ndarray
    least_misfit: np.ndarray
    evaluations: int
    places: list[np.ndarray] = field(default_factory=list)


def sample_posteriors(
    problem: Problem,
    p: np.ndarray,
    chains: int,
    effective: int,
    most_moves: int,
    laws: np.ndarray | None = None,
    errors: np.ndarray | None = None,
) -> Posteriors:
    """Sample the posterior of every observed system, with draws that the problem's stage addresses.

    A system is finished at the effective sample size ``effective`` in each of its parameters, and
    left as it is after ``most_moves`` of each chain. ``laws`` (B, n_p) are draws of the
    distribution of p (n_p,), law and noise; without them p is taken as known. ``errors`` (B, d_y)
    are draws of the simulator's error G(z) - S(z) at all places, one for each of the laws: the
    observations of a draw are then y less its error.
    """
    by_members = many_members(problem)

    def of_group(systems: np.ndarray) -> tuple[list[Finished], np.ndarray, int]:
        own = problem.of_systems(systems)
        group: GroupDraws | _ChainGroup
        if by_members:
            group = GroupDraws(own, p, chains, laws, systems, errors)
        else:
            group = _ChainGroup(own, p, chains, laws, int(systems[0]), errors)
        group.run(effective, most_moves)
        finished = [group.finished[i] for i in range(len(systems))]
        return finished, group.least_misfit.numpy(), group.evaluations

    parts: list[Finished] = []
    misfits, evaluations = [], 0
    together = groups_together(problem) if by_members else systems_together(problem)
    groups = blocks_of(len(problem.data), together)
    for finished, misfit, calls in parallel(of_group, groups, "posteriors", unit="group", delay=0):
        parts += finished
        misfits.append(misfit)
        evaluations += calls
    return Posteriors(
        [part.draws for part in parts],
        np.array([part.r_hat for part in parts]),
        np.array([part.effective for part in parts]),
        np.array([part.moves for part in parts]),
        np.concatenate(misfits),
        evaluations,
        [part.places for part in parts],
    )


def many_members(problem: Problem) -> bool:
    """Return whether the draws are by the members of groups, and not by chains over all of them."""
    return problem.law.nested and problem.law.d_omega > _MANY


@dataclass(frozen=True)
class _LawPlace:
    """A law and noise: densities, references about the modes, and the chains that use it."""

    alpha: torch.Tensor
    densities: Densities
    references: References
    chains: list[int]


class _ChainGroup:
    """The chains of some systems, which move together.

    The state of the chains is ``omega`` (n, chains, d_omega), with the logarithms of the target
    ``current`` (n, chains), of the n systems that are not finished. Random numbers are drawn for
    all systems of the group, so that a system's do not depend on when others are finished.
    """

    def __init__(
        self,
        problem: Problem,
        p: np.ndarray,
        chains: int,
        laws: np.ndarray | None,
        first: int,
        errors: np.ndarray | None,
    ) -> None:
        self.problem, self.chains, self.errors = problem, chains, errors
        self.laws = p[None] if laws is None else laws
        self.address = f"{problem.stage}/{first}"
        self.references, least = references(problem, p)
        self.least_misfit = 2 * least
        n = len(problem.data)
        self.systems = torch.arange(n)
        self.omega = torch.zeros((n, chains, problem.law.d_omega), dtype=torch.float64)
        self.current = torch.zeros((n, chains), dtype=torch.float64)
        self.finished: dict[int, Finished] = {}
        self.evaluations = 0
        self.rng = generator(problem.seed, f"{self.address}/start")
        self.places = self._places(0)
        self._begin()

    def run(self, effective: int, most_moves: int) -> None:
        """Run until all systems are finished."""
        most = max(_FEWEST, most_moves // (2 * _ROUNDS) - WARMUP)
        for number in range(WARMUP):
            self._draw(number)
        history: list[torch.Tensor] = []
        numbers: list[int] = []
        done, check, every = 0, _FIRST_CHECK, 1
        while len(self.systems):
            while done < min(check, most):
                self._draw(WARMUP + done)
                done += 1
                if done % every == 0:
                    history.append(self._parameters())
                    numbers.append(WARMUP + done - 1)
            values = torch.stack(history, dim=2).numpy()
            of_draws = np.array(numbers)
            left = self._unfinished(values, effective, done >= most, WARMUP + done, of_draws)
            history = [each[left] for each in history]
            self.systems = self.systems[left]
            self.omega, self.current = self.omega[left], self.current[left]
            self.places = [replace(x, references=x.references.of(left)) for x in self.places]
            check = int(_LATER * check)
            if len(history) >= _KEPT:
                history, numbers, every = history[1::2], numbers[1::2], 2 * every

    def _unfinished(
        self, values: np.ndarray, wanted: int, last: bool, draws: int, numbers: np.ndarray
    ) -> torch.Tensor:
        """Finish systems whose draws (n, chains, draws, d_z) suffice, and return the other rows.

        The draws have these numbers (draws,).
        """
        left, count = [], len(self.laws)
        laws = [law_of_draw(numbers, chain, self.chains, count) for chain in range(self.chains)]
        for row, system in enumerate(self.systems.tolist()):
            own = values[row]
            size, r_hat = effective_sample_size(own), split_r_hat(own)
            if last or (size.min() >= wanted and r_hat.max() <= LARGEST_R_HAT):
                moves = 2 * _ROUNDS * draws
                self.finished[system] = Finished(own, r_hat, size, moves, np.stack(laws))
            else:
                left.append(row)
        return torch.tensor(left, dtype=torch.long)

    def _places(self, number: int) -> list[_LawPlace]:
        """Return the laws and noises of draw ``number``."""
        count = len(self.laws)
        if count == 1:
            chosen = {0: list(range(self.chains))}
        else:
            chosen = {}
            for chain in range(self.chains):
                law = int(law_of_draw(number, chain, self.chains, count))
                chosen.setdefault(law, []).append(chain)
        places, own = [], self.references.of(self.systems)
        for law, chains in chosen.items():
            observed = without_error(self.problem, self.errors, law)
            densities = Densities.at(observed, self.laws[law])
            followed = own if count == 1 else own.following(densities, self.systems)
            alpha = self.problem.tensors(self.laws[law])[0]
            places.append(_LawPlace(alpha, densities, followed, chains))
        return places

    def _begin(self) -> None:
        """Start each chain at one of some draws of the mixture, picked by their weights."""
        n, d = len(self.systems), self.problem.law.d_omega
        rows, every = torch.arange(n)[:, None], torch.arange(n).repeat_interleave(_STARTS)
        for place in self.places:
            for chain in place.chains:
                xi, part = self._normal((n, _STARTS, d)), self._uniform((n, _STARTS))
                omega = place.references.mixture.draw(xi, part)
                value = place.densities.log(omega.reshape(-1, d), every).reshape(n, _STARTS)
                self.evaluations += value.numel()
                log_weight = value - place.references.mixture.log_density(omega)
                ends = torch.softmax(log_weight, dim=1).cumsum(dim=1)
                at = torch.searchsorted(ends, self._uniform((n, 1)) * ends[:, -1:])
                at = at.clamp(max=_STARTS - 1)
                self.omega[:, chain] = omega[rows, at][:, 0]
                self.current[:, chain] = value[rows, at][:, 0]

    def _draw(self, number: int) -> None:
        """Change to the laws of a draw, and make its moves."""
        self.rng = generator(self.problem.seed, f"{self.address}/draw", number)
        if len(self.laws) > 1:
            self._follow(self._places(number))
        shape = (len(self.problem.data), self.chains, self.problem.law.d_omega)
        for _ in range(_ROUNDS):
            for move in (self._slice, self._offer):
                self.omega, self.current, calls = move(self._normal(shape)[self.systems])
                self.evaluations += calls

    def _follow(self, places: list[_LawPlace]) -> None:
        """Shift the chains with their modes."""
        before = {chain: place.references for place in self.places for chain in place.chains}
        rows = torch.arange(len(self.systems))
        for place in places:
            for chain in place.chains:
                omega, old = self.omega[:, chain], before[chain].modes
                at = before[chain].nearest(omega[:, None])[:, 0]
                self.omega[:, chain] = omega + place.references.modes[rows, at] - old[rows, at]
        self.places = places
        flat = self.omega.flatten(0, 1)
        self.current = self._log(flat, torch.arange(len(flat))).reshape(self.current.shape)
        self.evaluations += len(flat)

    def _slice(self, xi: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, int]:
        """Make an elliptical slice move, with the law as reference or a density about a mode."""
        choice, mode = self.rng.random(), self.rng.random()
        references = self.places[0].references
        k = int(mode * references.modes.shape[1])
        mean = torch.zeros_like(self.omega)
        eye = torch.eye(xi.shape[2], dtype=xi.dtype).expand(len(xi), -1, -1)
        factor, inverse = eye, eye
        if choice >= OF_LAW:
            width = int(choice > 1 - WIDE)
            for place in self.places:
                mean[:, place.chains] = place.references.modes[:, None, k]
            # These numbers do not change with the law.
            factor, inverse = references.factors[width, :, k], references.inverses[width, :, k]
        reference = mean, factor, inverse
        return elliptical_slice(
            self._log, self.omega, self.current, reference, xi, self._uniform_of_chains
        )

    def _offer(self, xi: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, int]:
        """Make a Metropolis move with draws of the mixtures."""
        part, proposed = self._uniform_of_chains(), torch.empty_like(self.omega)
        here, there = torch.empty_like(self.current), torch.empty_like(self.current)
        for place in self.places:
            own = place.chains
            drawn = place.references.mixture.draw(xi[:, own], part[:, own])
            proposed[:, own], there[:, own] = drawn, place.references.mixture.log_density(drawn)
            here[:, own] = place.references.mixture.log_density(self.omega[:, own])
        return metropolis(
            self._log, self.omega, self.current, proposed, (here, there), self._uniform_of_chains
        )

    def _log(self, omega: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        """Return the targets at rows of omega; row (i, j) has the number i chains + j."""
        systems = self.systems[rows // self.chains]
        if len(self.places) == 1:
            return self.places[0].densities.log(omega, systems)
        value, chain = torch.empty(len(rows), dtype=omega.dtype), rows % self.chains
        for place in self.places:
            own = torch.nonzero(torch.isin(chain, torch.tensor(place.chains)))[:, 0]
            if len(own):
                value[own] = place.densities.log(omega[own], systems[own])
        return value

    def _parameters(self) -> torch.Tensor:
        """Return the parameters z of all chains, shape (n, chains, d_z)."""
        problem, n = self.problem, len(self.systems)
        z = torch.empty((n, self.chains, problem.law.d_z), dtype=self.omega.dtype)
        known = problem.known.of(self.systems)
        with torch.no_grad():
            for place in self.places:
                for chain in place.chains:
                    drawn = inputs(problem.law, place.alpha, self.omega[:, chain], known)
                    z[:, chain] = drawn[:, : problem.law.d_z]
        return z

    def _normal(self, shape: tuple[int, ...]) -> torch.Tensor:
        return torch.from_numpy(self.rng.standard_normal(shape))

    def _uniform(self, shape: tuple[int, ...]) -> torch.Tensor:
        return torch.from_numpy(self.rng.random(shape))

    def _uniform_of_chains(self) -> torch.Tensor:
        return self._uniform((len(self.problem.data), self.chains))[self.systems]
