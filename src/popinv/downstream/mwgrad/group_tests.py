"""Whether the systems of a group have the same parameters, and which of them stand apart.

The group is tested as a whole. If it fails, the system without which the others agree best is set
apart, and the others are tested again, until they pass. So an outlier is gone before anything is
said of those that it was pooled with. If all systems are alike, some system is set apart with the
probability of the level, whatever the number of systems.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from popinv.downstream.mwgrad.homogeneity import adjusted, group_p_value, system_p_values
from popinv.downstream.mwgrad.pooled import pooled_optima
from popinv.inference.problem import Problem
from popinv.seeds import generator

__all__ = ["LEVEL", "ErrorRates", "GroupAnswer", "error_rates", "examine", "simulated_groups"]

LEVEL = 0.05
_PAIRS_AT_ONCE = 2000

Estimate = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class GroupAnswer:
    """What the tests say about a group of K systems.

    Attributes
    ----------
    p_value : float
        Of the whole group having the same parameters.
    pairs : ndarray of shape (K, K)
        Of each pair, adjusted for the number of pairs; ones on the diagonal.
    systems : ndarray of shape (K,)
        Of each system against those that are not set apart, adjusted for the number of systems.
    apart : tuple of int
        Places in the group of the systems that are set apart, in the order in which they left.
    """

    p_value: float
    pairs: np.ndarray
    systems: np.ndarray
    apart: tuple[int, ...]

    @property
    def together(self) -> tuple[int, ...]:
        """Places of the other systems."""
        return tuple(k for k in range(len(self.systems)) if k not in self.apart)


def examine(
    problem: Problem,
    estimate: Estimate,
    systems: Sequence[int],
    data: np.ndarray | None = None,
    level: float = LEVEL,
) -> GroupAnswer:
    """Test a group of systems.

    Parameters
    ----------
    problem : Problem
    estimate : (alpha, gamma)
        Law and noise, unconstrained.
    systems : sequence of K int
    data : ndarray of shape (K, d_y), optional
        Observations in place of the systems' own.
    level : float
    """
    numbers = np.asarray(systems)
    observed = problem.data[numbers] if data is None else data
    p_value, apart = _set_apart(problem, estimate, numbers, observed, level)
    together = [k for k in range(len(numbers)) if k not in apart]
    return GroupAnswer(
        p_value,
        _pair_p_values(problem, estimate, numbers, observed[None])[0],
        _against_the_rest(problem, estimate, numbers, observed, together),
        apart,
    )


def _p_values(
    problem: Problem, estimate: Estimate, numbers: np.ndarray, observed: np.ndarray, places: object
) -> np.ndarray:
    """Return the p-value of each of several groups of places, all of one size."""
    rows = np.asarray(places)
    pooled = pooled_optima(problem, estimate, numbers[rows].tolist(), observed[rows])
    both = zip(pooled.scores, pooled.information, strict=True)
    return np.array([group_p_value(*one) for one in both])


def _set_apart(
    problem: Problem, estimate: Estimate, numbers: np.ndarray, observed: np.ndarray, level: float
) -> tuple[float, tuple[int, ...]]:
    """Return the p-value of the whole group, and the places of the systems that are set apart."""
    left, apart = list(range(len(numbers))), []
    p_value = first = float(_p_values(problem, estimate, numbers, observed, [left])[0])
    while p_value < level and len(left) > 2:
        # Without the first, without the second, and so on.
        fewer = [[k for k in left if k != out] for out in left]
        found = _p_values(problem, estimate, numbers, observed, fewer)
        best = int(np.argmax(found))
        apart.append(left[best])
        left, p_value = fewer[best], float(found[best])
    if p_value < level:
        # The last two have nothing in common: there is no group.
        apart += left
    return first, tuple(apart)


def _pair_p_values(
    problem: Problem, estimate: Estimate, numbers: np.ndarray, observed: np.ndarray
) -> np.ndarray:
    """Return the adjusted p-values of all pairs of B groups (B, K, d_y), shape (B, K, K)."""
    count, members = observed.shape[:2]
    first, second = np.triu_indices(members, 1)
    places = np.stack([first, second], axis=1)
    table = np.ones((count, members, members))
    # So many groups at once that their Jacobians fit in memory.
    together = max(1, _PAIRS_AT_ONCE // len(places))
    for at in range(0, count, together):
        some = observed[at : at + together]
        rows = np.tile(numbers[places], (len(some), 1)).tolist()
        pooled = pooled_optima(problem, estimate, rows, some[:, places].reshape(len(rows), 2, -1))
        both = zip(pooled.scores, pooled.information, strict=True)
        found = np.array([group_p_value(*one) for one in both]).reshape(len(some), -1)
        for index, p_values in enumerate(found, start=at):
            table[index, first, second] = table[index, second, first] = adjusted(p_values)
    return table


def _against_the_rest(
    problem: Problem,
    estimate: Estimate,
    numbers: np.ndarray,
    observed: np.ndarray,
    together: list[int],
) -> np.ndarray:
    """Return the adjusted p-value of each system against all others that are not set apart."""
    # Without any that are together, each system is held against all others.
    core = together or list(range(len(numbers)))
    found = np.empty(len(numbers))
    pooled = pooled_optima(problem, estimate, [numbers[core].tolist()], observed[core][None])
    found[core] = system_p_values(pooled.scores[0], pooled.information[0])
    outside = [k for k in range(len(numbers)) if k not in core]
    if outside:
        places = np.array([[*core, k] for k in outside])
        pooled = pooled_optima(problem, estimate, numbers[places].tolist(), observed[places])
        for k, scores, information in zip(outside, pooled.scores, pooled.information, strict=True):
            found[k] = system_p_values(scores, information)[-1]
    return adjusted(found)


def simulated_groups(
    problem: Problem,
    estimate: Estimate,
    groups: Sequence[Sequence[int]],
    stage: str,
    different: int = 0,
) -> np.ndarray:
    """Draw observations of groups of systems that share parameters, (B, K, d_y).

    Parameters
    ----------
    problem : Problem
    estimate : (alpha, gamma)
    groups : sequence of B sequences of K int
        The systems whose noise scales and gaps the simulated ones take.
    stage : str
        Address of the draws below the problem's own.
    different : int
        So many of the last systems of each group have parameters of their own.
    """
    systems = np.asarray(groups, dtype=int)
    count, members = systems.shape
    rng = generator(problem.seed, f"{problem.stage}/{stage}")
    shared = rng.standard_normal((count, 1, problem.law.d_omega))
    omega = np.repeat(shared, members, axis=1)
    if different:
        omega[:, -different:] = rng.standard_normal(omega[:, -different:].shape)
    e = rng.standard_normal((systems.size, problem.data.shape[1]))
    alpha, gamma = (torch.from_numpy(np.asarray(part, dtype=float)) for part in estimate)
    with torch.no_grad():
        flat = torch.from_numpy(omega.reshape(systems.size, -1))
        signal = problem.simulate(problem.law.sample(alpha, flat))
        observed = problem.observed(gamma, signal, torch.from_numpy(e), systems.ravel())
    return observed.numpy().reshape(count, members, -1)


@dataclass(frozen=True)
class ErrorRates:
    """How often the tests err on simulated groups of one size at the level of 5 %.

    Attributes
    ----------
    group, pairs, systems : float
        Shares of groups of alike systems that fail as a whole, of which some pair fails, and of
        which some system fails against all others.
    found, dragged : float
        Of groups in which one system has parameters of its own: the share in which it is set
        apart, and the share in which another one is.
    group_p_values : ndarray of shape (B,)
        Of groups of alike systems.
    """

    group: float
    pairs: float
    systems: float
    found: float
    dragged: float
    group_p_values: np.ndarray


def error_rates(
    problem: Problem, estimate: Estimate, systems: Sequence[int], groups: int, of_pairs: bool = True
) -> ErrorRates:
    """Measure the tests on simulated groups with the noise scales and gaps of these systems.

    Parameters
    ----------
    problem : Problem
    estimate : (alpha, gamma)
        The truth of the simulated groups.
    systems : sequence of K int
    groups : int
        How many groups are simulated, of alike systems and of those with one outlier each.
    of_pairs : bool
        Whether the pairs are tested, which takes the longest in large groups.
    """
    numbers = np.asarray(systems)
    rows = [list(systems)] * groups
    stage = f"alike/{len(numbers)}"
    alike = simulated_groups(problem, estimate, rows, stage)
    pooled = pooled_optima(problem, estimate, rows, alike)
    both = list(zip(pooled.scores, pooled.information, strict=True))
    p_values = np.array([group_p_value(*one) for one in both])
    single = np.array([adjusted(system_p_values(*one)).min() for one in both])
    pairs = np.nan
    if of_pairs:
        found_pairs = _pair_p_values(problem, estimate, numbers, alike)
        pairs = float((found_pairs.min(axis=(1, 2)) < LEVEL).mean())
    mixed = simulated_groups(problem, estimate, rows, f"one_apart/{len(numbers)}", different=1)
    last, found, dragged = len(numbers) - 1, 0, 0
    # In a pair nobody can say which of the two is the outlier.
    for observed in mixed if len(numbers) > 2 else ():
        _, apart = _set_apart(problem, estimate, numbers, observed, LEVEL)
        found += last in apart
        dragged += any(k != last for k in apart)
    return ErrorRates(
        group=float((p_values < LEVEL).mean()),
        pairs=pairs,
        systems=float((single < LEVEL).mean()),
        found=found / groups if len(numbers) > 2 else np.nan,
        dragged=dragged / groups if len(numbers) > 2 else np.nan,
        group_p_values=p_values,
    )
