"""Result of a study's descents from many starts: groups of ends, and the chance of a better one."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.stats import binomtest

from popinv.errors import ConfigError

# Standard errors by which a difference of losses must differ from zero.
_CLEAR = 3.0
# Starts after which the best answer has been found with this probability.
_SURE = 0.95


def group_ends(ends: np.ndarray, errors: np.ndarray, apart: float) -> np.ndarray:
    """Return the number of each end's group, from 0, in the order of their first members.

    Two ends are neighbours if no parameter differs by more than ``apart`` standard errors; a group
    is what neighbours connect (single linkage). A standard error of zero does not count. A descent
    that diverged, whose end is NaN, has the number -1.

    Raises
    ------
    ConfigError
        If the standard errors are not known.
    """
    if np.isnan(errors).any():
        raise ConfigError(
            "the study's descent has no standard errors (it has more than 100 parameters, or "
            "unrestricted noise), so its ends cannot be compared; leave restarts out"
        )
    finite = np.flatnonzero(~np.isnan(ends).any(axis=1))
    groups = np.full(len(ends), -1)
    scaled = ends[finite][:, errors > 0] / errors[errors > 0]
    if len(finite) == 1:
        groups[finite] = 0
    if len(finite) < 2:
        return groups
    found = fcluster(linkage(scaled, "single", metric="chebyshev"), apart, "distance")
    order = list(dict.fromkeys(found))
    groups[finite] = [order.index(number) for number in found]
    return groups


def share_with_interval(count: int, total: int) -> tuple[float, float, float]:
    """Return count / total and its exact 95 % interval (Clopper and Pearson)."""
    interval = binomtest(count, total).proportion_ci(0.95, "exact")
    return count / total, float(interval.low), float(interval.high)


@dataclass(frozen=True)
class Outlook:
    """Groups (n + 1,) of the answer (0) and of the ends, and the chances of another start.

    ``best_members`` are the rows of the lowest loss of each group. The gains (groups,) are the
    answer's loss minus this loss, with standard errors over draws.
    """

    groups: np.ndarray
    best_members: tuple[int, ...]
    gains: np.ndarray
    gain_errors: np.ndarray

    @property
    def better(self) -> np.ndarray:
        """Whether each group's loss is clearly lower, shape (groups,)."""
        return self.gains > _CLEAR * self.gain_errors

    def metrics(self, farthest: float) -> dict[str, Any]:
        """Return numbers and the statement; ``farthest`` is the largest distance of an end.

        The distance is between an end in the answer's group and the answer, in standard errors.
        """
        starts = self.groups[1:]
        total, kinds = len(starts), len(self.gains)
        same, same_low, same_high = share_with_interval(int((starts == 0).sum()), total)
        found = int(np.isin(starts, np.flatnonzero(self.better)).sum())
        chance, low, high = share_with_interval(found, total)
        diverged = int((starts < 0).sum())
        numbers: dict[str, Any] = {
            "starts": total,
            "diverged": diverged,
            "answers": kinds,
            "same_answer": same,
            "same_answer_low": same_low,
            "same_answer_high": same_high,
            "better_answer": chance,
            "better_answer_low": low,
            "better_answer_high": high,
            "farthest": farthest,
        }
        for number in range(1, kinds):
            numbers |= {
                f"answer_{number}_share": float((starts == number).mean()),
                f"answer_{number}_gain": float(self.gains[number]),
                f"answer_{number}_gain_error": float(self.gain_errors[number]),
            }
        return numbers | {"statement": self._statement(numbers)}

    def _statement(self, numbers: dict[str, Any]) -> str:
        total, diverged = numbers["starts"], numbers["diverged"]
        lost = f"; {diverged} diverged" if diverged else ""
        same = int((self.groups[1:] == 0).sum())
        if numbers["answers"] == 1:
            return (
                f"one basin: {same} of {total} starts end within {numbers['farthest']:.2g} "
                f"standard errors of the answer{lost}; another start finds a better answer with a "
                f"probability below {numbers['better_answer_high']:.2g} (95 %)"
            )
        if numbers["better_answer"] > 0:
            chance = numbers["better_answer"]
            needed = 1 if chance == 1 else math.ceil(math.log(1 - _SURE) / math.log1p(-chance))
            return (
                f"{numbers['answers']} answers: another start finds a better one with probability "
                f"{chance:.2g} ({numbers['better_answer_low']:.2g} to "
                f"{numbers['better_answer_high']:.2g}){lost}; descent.restarts: {needed + 1} finds "
                "one in 95 of 100 studies"
            )
        return (
            f"{numbers['answers']} answers, and none of {total} starts finds a better one: its "
            f"probability is below {numbers['better_answer_high']:.2g} (95 %); {same} find the "
            f"same{lost}"
        )


def outlook(ends: np.ndarray, losses: np.ndarray, errors: np.ndarray, apart: float) -> Outlook:
    """Group the ends of descents, and compare each group's best loss with the answer's.

    The ends (n + 1, n_p) are the study's answer, and the end from each start; the losses (n + 1,
    draws) have the same draws for all. Answers differ by ``apart`` standard errors (n_p,).
    """
    groups = group_ends(ends, errors, apart)
    kinds = int(groups.max()) + 1
    means = np.where(groups < 0, np.inf, losses.mean(axis=1))
    best, gains, gain_errors = [], np.zeros(kinds), np.zeros(kinds)
    for number in range(kinds):
        members = np.flatnonzero(groups == number)
        # The answer stands for its own group.
        row = 0 if number == 0 else int(members[np.argmin(means[members])])
        best.append(row)
        difference = losses[0] - losses[row]
        gains[number] = difference.mean()
        gain_errors[number] = difference.std(ddof=1) / difference.size**0.5
    return Outlook(groups, tuple(best), gains, gain_errors)
