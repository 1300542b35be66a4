r"""Draws of the posterior of groups with many members, by the integrals over their effects.

Chains over all parameters of a group at once slow down as members are added. Given the effects that
they share, members are independent (:mod:`popinv.inference.integrate.nested`). A set of draws has
S draws of the outermost effects, each with draws of the members below it, one of which is chosen by
its weight. The weight of a draw is

.. math:: w_s \propto \phi(\omega_s) \prod_j \hat L_j(\omega_s) / q(\omega_s)

with unbiased estimates of the members' likelihoods, so that a set has the exact posterior but for
its own normalisation, a relative error of 1 / S. A few draws of each set are taken by systematic
resampling.

The sets are independent. In place of a chain, there is a sequence of sets, each at a law and noise
p_b of its own. Split R-hat and the effective sample size describe these sequences, in which draws
that were taken twice are neighbours. The effective size is at most the effective number of weights.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from popinv.inference.density.problem import Problem
from popinv.inference.integrate.group_modes import GroupModes
from popinv.inference.integrate.integrals import MarginalSettings
from popinv.inference.integrate.nested import NestedIntegrals
from popinv.late import torch
from popinv.methods.posterior.chains import LARGEST_R_HAT, effective_sample_size, split_r_hat
from popinv.population.known import inputs
from popinv.population.places import at_places
from popinv.seeds import generator

# Draws of a set, and one of how many is taken.
SET_DRAWS, _TAKEN = 64, 4
# Sets of each sequence at the first check, twice as many where law and noise change between them,
# and the factor to the next check.
_FIRST_CHECK, _LATER = 4, 1.4
# Searches for modes, each from several starts.
SEARCHES = 2
# Numbers in the arrays of groups that are drawn together, and the most of these groups.
_BLOCK_VALUES, _MOST_TOGETHER = 4e6, 250


@dataclass(frozen=True)
class Finished:
    """The draws (chains, draws, d_z) of one system, and how good they are.

    Attributes
    ----------
    draws : ndarray of shape (chains, draws, d_z)
    r_hat, effective : ndarray of shape (d_z,)
    moves : int
        Of each chain; of a sequence of sets, the draws of the outermost effects.
    places : ndarray of int, shape (chains, draws)
        The law and noise of each draw, among those that were given.
    """

    draws: np.ndarray
    r_hat: np.ndarray
    effective: np.ndarray
    moves: int
    places: np.ndarray


class GroupDraws:
    """The draws of some groups, which are drawn together.

    Parameters
    ----------
    problem : Problem
        Of these groups.
    p : ndarray of shape (n_p,)
        The estimate.
    chains : int
        Number of sequences of sets.
    laws : ndarray of shape (B, n_p), optional
        Law and noise of the sets; p without them.
    numbers : ndarray of int, shape (n,)
        Numbers of the groups, which determine their draws.
    errors : ndarray of shape (B, d_y), optional
        Errors of the simulator that go with the laws.
    """

    def __init__(
        self,
        problem: Problem,
        p: np.ndarray,
        chains: int,
        laws: np.ndarray | None,
        numbers: np.ndarray,
        errors: np.ndarray | None = None,
    ) -> None:
        self.problem, self.chains, self.numbers = problem, chains, numbers
        self.laws = p[None] if laws is None else laws
        self.errors = errors
        found = best_modes(problem, p)
        self.modes, self.least_misfit = found.omega, least_of(found)
        self.finished: dict[int, Finished] = {}
        self.evaluations = 0

    def run(self, effective: int, most_moves: int) -> None:
        """Draw sets until all groups are finished."""
        left, most = np.arange(len(self.problem.data)), max(2, most_moves // SET_DRAWS)
        values = np.empty((len(left), self.chains, 0, self.problem.law.d_z))
        counted, done = np.zeros(len(left)), 0
        check = _FIRST_CHECK * (1 if len(self.laws) == 1 else 2)
        while len(left):
            sets = []
            for number in range(done, min(check, most)):
                each = [self._set(left, number, chain) for chain in range(self.chains)]
                sets.append(np.stack([drawn for drawn, _ in each], axis=1))
                counted = counted + sum(own for _, own in each)
            values = np.concatenate([values, *sets], axis=2)
            done, check = min(check, most), int(np.ceil(_LATER * check))
            stays = np.ones(len(left), dtype=bool)
            for row, group in enumerate(left.tolist()):
                own = values[row]
                r_hat = split_r_hat(own)
                size = np.minimum(effective_sample_size(own), counted[row])
                good = size.min() >= effective and r_hat.max() <= LARGEST_R_HAT
                if good or done >= most:
                    places = self._places(done, own.shape[1] // done)
                    self.finished[group] = Finished(own, r_hat, size, done * SET_DRAWS, places)
                    stays[row] = False
            left, values, counted = left[stays], values[stays], counted[stays]

    def _set(self, left: np.ndarray, number: int, chain: int) -> tuple[np.ndarray, np.ndarray]:
        """Return draws (n, k, d_z) of a set, and how many of them count, (n,)."""
        law = int(law_of_draw(number, chain, self.chains, len(self.laws)))
        p = self.laws[law]
        stage = f"{self.problem.stage}/sets/{chain}/{number}"
        own = without_error(self.problem, self.errors, law).of_systems(left)
        problem = replace(own, stage=stage, free_noise=False)
        integrals = NestedIntegrals.at(problem, p, self.numbers[left])
        # Law and noise move the modes by a few steps.
        steps = MarginalSettings().first_mode_steps
        modes = integrals.groups.search(self.modes[torch.from_numpy(left)], steps)
        omega, log_weight = integrals.draws(SET_DRAWS, modes)
        self.evaluations += len(left) * integrals.evaluations(SET_DRAWS)
        weight = torch.softmax(log_weight, dim=1).numpy()
        rows = np.array(
            [
                _taken(own, generator(problem.seed, f"{stage}/taken", int(k)))
                for own, k in zip(weight, self.numbers[left], strict=True)
            ]
        )
        drawn = omega[torch.arange(len(left))[:, None], torch.from_numpy(rows)]
        known = problem.known.of(np.repeat(np.arange(len(left)), rows.shape[1]))
        with torch.no_grad():
            z = inputs(problem.law, problem.tensors(p)[0], drawn.flatten(0, 1), known)
        z = z[:, : problem.law.d_z].unflatten(0, rows.shape)
        return z.numpy(), np.minimum(1 / (weight**2).sum(axis=1), rows.shape[1])

    def _places(self, done: int, each: int) -> np.ndarray:
        """Return the laws of all draws of ``done`` sets with ``each`` draws."""
        number, count = np.repeat(np.arange(done), each), len(self.laws)
        return np.stack([law_of_draw(number, c, self.chains, count) for c in range(self.chains)])


def law_of_draw(number: np.ndarray | int, chain: int, chains: int, count: int) -> np.ndarray:
    """Return which of ``count`` laws the draws of these numbers have in one of the chains."""
    return np.asarray((number + chain * count // chains) % count)


def without_error(problem: Problem, errors: np.ndarray | None, law: int) -> Problem:
    """Return a problem whose observations are free of the error that goes with a law.

    The errors (B, d_y) are at all places.
    """
    if errors is None:
        return problem
    error = error_of(problem, errors[law])
    conditions = problem.conditions
    if conditions.limited:
        limits = conditions.limits.mapped(lambda rows: rows - error)
        conditions = replace(conditions, limits=limits)
    # What was not observed holds a fixed value that nothing depends on.
    return replace(problem, data=np.asarray(problem.data) - error, conditions=conditions)


def error_of(problem: Problem, error: np.ndarray) -> np.ndarray:
    """Return an error at all places (d_y,) at the places of each system, (n, d_y)."""
    each = np.tile(error, (len(problem.data), 1))
    if not (count := problem.noise.own_places):
        return each
    own = problem.known.design[:, -count:].long().numpy()
    return at_places(each, own, problem.replicates)


def _taken(weight: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the positions of some draws (k,) by systematic resampling, in increasing order."""
    count = len(weight) // _TAKEN
    places = (np.arange(count) + rng.random()) / count
    edges = np.cumsum(weight)
    return np.minimum(np.searchsorted(edges / edges[-1], places), len(weight) - 1)


def best_modes(problem: Problem, p: np.ndarray, searches: int = SEARCHES) -> GroupModes:
    """Return the best modes of all groups of a problem at p (n_p,), from separate searches."""
    known = replace(problem, free_noise=False)
    integrals, settings = (
        NestedIntegrals.at(known, p, np.arange(len(problem.data))),
        MarginalSettings(),
    )
    best = integrals.find_modes(settings, None)
    for search in range(searches):
        for other in integrals.all_modes(settings, f"mode_starts/{search}"):
            best = best.better(other)
    return best


def least_of(modes: GroupModes) -> torch.Tensor:
    """Return ``|r|^2 + |omega|^2`` of the modes of groups, with the whitened residual r, (n,)."""
    groups = modes.groups
    residual = groups.density.at(modes.expanded.signal).residual
    square = groups.nodes.of_groups((residual**2).sum(dim=1), -1) + (modes.omega**2).sum(dim=1)
    return torch.where(torch.isfinite(square), square, torch.inf)


def groups_together(problem: Problem) -> int:
    """Return the number of groups that are drawn together; their arrays fit into memory."""
    values = problem.data.shape[1] * (problem.d_z + 8)
    return max(1, min(_MOST_TOGETHER, int(_BLOCK_VALUES / values)))
