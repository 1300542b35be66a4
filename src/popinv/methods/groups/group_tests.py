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

from popinv.inference.problem import Problem
from popinv.methods.groups.homogeneity import (
    Estimate,
    adjusted,
    group_log_p_value,
    pooled_optima,
    system_p_values,
    tensors,
)
from popinv.seeds import generator

LEVEL = 0.05
# So many that their Jacobians fit in memory.
_SYSTEMS_AT_ONCE = 4000


@dataclass(frozen=True)
class GroupAnswer:
    """What the tests say about a group of K systems: p-values, and the places of those set apart.

    That of each pair (K, K) is adjusted for the number of pairs, with ones on the diagonal; that of
    each system (K,), against those that are not set apart, for the number of systems.
    """

    p_value: float
    pairs: np.ndarray
    systems: np.ndarray
    apart: tuple[int, ...]


def examine(problem: Problem, estimate: Estimate, systems: Sequence[int]) -> GroupAnswer:
    """Test a group of K systems."""
    numbers = np.asarray(systems)
    observed = problem.data[numbers]
    p_values, (apart,) = _set_apart(problem, estimate, numbers, observed[None])
    together = [k for k in range(len(numbers)) if k not in apart]
    return GroupAnswer(
        float(p_values[0]),
        _pair_p_values(problem, estimate, numbers, observed[None])[0],
        _against_the_rest(problem, estimate, numbers, observed, together),
        apart,
    )


def _log_p_values(
    problem: Problem, estimate: Estimate, numbers: np.ndarray, observed: np.ndarray
) -> np.ndarray:
    """Return log p-values (B,) of groups with numbers (B, K) and observations (B, K, d_y)."""
    found = []
    together = max(1, _SYSTEMS_AT_ONCE // numbers.shape[1])
    for at in range(0, len(numbers), together):
        some = slice(at, at + together)
        pooled = pooled_optima(problem, estimate, numbers[some].tolist(), observed[some])
        both = zip(pooled.scores, pooled.information, strict=True)
        found += [group_log_p_value(*one) for one in both]
    return np.array(found)


def _set_apart(
    problem: Problem, estimate: Estimate, numbers: np.ndarray, observed: np.ndarray
) -> tuple[np.ndarray, list[tuple[int, ...]]]:
    """Return the p-values (B,) of whole groups, and the places of the systems that are set apart.

    The groups have observations (B, K, d_y) of systems with the numbers (K,). All those that fail
    are gone through side by side.
    """
    count, members = observed.shape[:2]
    left = [list(range(members)) for _ in range(count)]
    first = _log_p_values(problem, estimate, np.tile(numbers, (count, 1)), observed)
    now = first.copy()
    failing = np.flatnonzero(now < np.log(LEVEL))
    for size in range(members, 2, -1):
        if not len(failing):
            break
        # Of each group without its first, without its second, and so on.
        places = np.array(
            [[[k for k in left[b] if k != out] for out in left[b]] for b in failing]
        ).reshape(-1, size - 1)
        rows = np.repeat(failing, size)[:, None]
        found = _log_p_values(problem, estimate, numbers[places], observed[rows, places])
        by_group = found.reshape(-1, size)
        for b, best, log_p in zip(
            failing, by_group.argmax(axis=1), by_group.max(axis=1), strict=True
        ):
            left[b].pop(int(best))
            now[b] = log_p
        failing = failing[now[failing] < np.log(LEVEL)]
    for b in failing:
        # The last two have nothing in common: there is no group.
        left[b] = []
    return np.exp(first), [tuple(k for k in range(members) if k not in those) for those in left]


def _pair_p_values(
    problem: Problem, estimate: Estimate, numbers: np.ndarray, observed: np.ndarray
) -> np.ndarray:
    """Return the adjusted p-values of all pairs of B groups (B, K, d_y), shape (B, K, K)."""
    count, members = observed.shape[:2]
    first, second = np.triu_indices(members, 1)
    places = np.stack([first, second], axis=1)
    rows = np.tile(numbers[places], (count, 1))
    pairs = observed[:, places].reshape(len(rows), 2, -1)
    found = np.exp(_log_p_values(problem, estimate, rows, pairs)).reshape(count, -1)
    table = np.ones((count, members, members))
    for index, p_values in enumerate(found):
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
    """Draw observations of B groups of K systems that share parameters, (B, K, d_y).

    The simulated systems take the noise scales and gaps of those named. The stage addresses the
    draws below the problem's own. So many of the last systems of each group as ``different`` says
    have parameters of their own.
    """
    systems = np.asarray(groups, dtype=int)
    count, members = systems.shape
    rng = generator(problem.seed, f"{problem.stage}/{stage}")
    shared = rng.standard_normal((count, 1, problem.law.d_omega))
    omega = np.repeat(shared, members, axis=1)
    if different:
        omega[:, -different:] = rng.standard_normal(omega[:, -different:].shape)
    e = rng.standard_normal((systems.size, problem.data.shape[1]))
    alpha, gamma = tensors(estimate)
    with torch.no_grad():
        flat = torch.from_numpy(omega.reshape(systems.size, -1))
        signal = problem.simulate(problem.law.sample(alpha, flat))
        observed = problem.observed(gamma, signal, torch.from_numpy(e), systems.ravel())
    return observed.numpy().reshape(count, members, -1)


@dataclass(frozen=True)
class ErrorRates:
    """How often the tests err on simulated groups of one size at the level of 5 %.

    ``group``, ``pairs`` and ``systems`` are the shares of groups of alike systems that fail as a
    whole, of which some pair fails, and of which some system fails against all others. In the share
    ``found`` of the groups in which one system has parameters of its own it is set apart, and in
    the share ``dragged`` another one is. The p-values (B,) are those of groups of alike systems.
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

    The estimate is their truth. So many groups as ``groups`` says are of alike systems, and as many
    have one outlier each. The test of the pairs takes the longest in large groups.
    """
    numbers = np.asarray(systems)
    rows = [list(systems)] * groups
    stage = f"alike/{len(numbers)}"
    alike = simulated_groups(problem, estimate, rows, stage)
    pooled = pooled_optima(problem, estimate, rows, alike)
    both = list(zip(pooled.scores, pooled.information, strict=True))
    p_values = np.exp([group_log_p_value(*one) for one in both])
    single = np.array([adjusted(system_p_values(*one)).min() for one in both])
    pairs = np.nan
    if of_pairs:
        found_pairs = _pair_p_values(problem, estimate, numbers, alike)
        pairs = float((found_pairs.min(axis=(1, 2)) < LEVEL).mean())
    mixed = simulated_groups(problem, estimate, rows, f"one_apart/{len(numbers)}", different=1)
    # In a pair nobody can say which of the two is the outlier.
    found = dragged = np.nan
    if len(numbers) > 2:
        last = len(numbers) - 1
        _, named = _set_apart(problem, estimate, numbers, mixed)
        found = float(np.mean([last in apart for apart in named]))
        dragged = float(np.mean([any(k != last for k in apart) for apart in named]))
    return ErrorRates(
        group=float((p_values < LEVEL).mean()),
        pairs=pairs,
        systems=float((single < LEVEL).mean()),
        found=found,
        dragged=dragged,
        group_p_values=p_values,
    )
