r"""What the paper's theorem and its comparison of methods say in numbers.

For an L-smooth f, unbiased gradients of variance at most sigma^2 and
Delta = f(x^0) - \inf f; the goal is a mean of E |grad f(x^k)|^2 of at most eps. Which of these the
paper states and which follow from it is said at each.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from popinv.errors import ConfigError

__all__ = [
    "Problem",
    "batch",
    "cycle_group",
    "gradients",
    "minibatch_time",
    "optimal_time",
    "ringmaster_time",
    "rounds_time",
    "step_size",
]


@dataclass(frozen=True)
class Problem:
    """The constants L, Delta, sigma^2 and eps.

    Raises
    ------
    ConfigError
        If smoothness, gap or accuracy is not positive, or the variance is negative.
    """

    smoothness: float
    gap: float
    variance: float
    accuracy: float

    def __post_init__(self) -> None:
        if not (self.smoothness > 0 and self.gap > 0 and self.accuracy > 0 <= self.variance):
            raise ConfigError(
                f"smoothness {self.smoothness}, gap {self.gap} and accuracy {self.accuracy} must "
                f"be positive, variance {self.variance} not negative"
            )

    @property
    def steps(self) -> float:
        """L Delta / eps: gradients that a run without noise takes, up to a constant."""
        return self.smoothness * self.gap / self.accuracy

    @property
    def noise(self) -> float:
        """sigma^2 / eps: how many gradients may be taken at one point at no cost."""
        return self.variance / self.accuracy


def step_size(problem: Problem, distance: int) -> float:
    """Return gamma = min(1/(2L), 1/(2RL), eps/(4 sigma^2 L)), of the paper's Theorem 2.4."""
    found = 1 / (2 * problem.smoothness * max(1, distance))
    if problem.variance > 0:
        found = min(found, 1 / (4 * problem.noise * problem.smoothness))
    return found


def gradients(problem: Problem, distance: int) -> float:
    """Return K = 4 (R+1) L Delta/eps + 8 sigma^2 L Delta/eps^2, of the paper's Theorem 2.4."""
    return 4 * (distance + 1) * problem.steps + 8 * problem.noise * problem.steps


def batch(problem: Problem) -> int:
    """Return max(ceil(sigma^2/eps), 1), the paper's B and G (its M G for both together)."""
    return max(1, math.ceil(problem.noise))


def cycle_group(problem: Problem, workers: int) -> int:
    """Return s = max(1, ceil(n^2 eps/sigma^2)) of Cycle SGD, rounded up to a divisor of n."""
    if problem.noise <= 0:
        return workers
    asked = max(1, math.ceil(workers**2 / problem.noise))
    return min(
        (s for s in range(1, workers + 1) if workers % s == 0 and s >= asked), default=workers
    )


def optimal_time(problem: Problem, compute: Sequence[float]) -> float:
    r"""Return the time that no method beats and the optimal ones reach, up to a constant.

    .. math:: \min_m \Bigl(\frac1m \sum_{i\le m} \frac1{h_i}\Bigr)^{-1}
        \Bigl(\frac{L\Delta}\varepsilon + \frac{\sigma^2 L\Delta}{m\varepsilon^2}\Bigr)

    with h_1 <= h_2 <= ..., as the paper has it, for messages that take no time.
    """
    m = np.arange(1, len(compute) + 1)
    harmonic = m / np.cumsum(1 / np.sort(np.asarray(compute, dtype=float)))
    return float((harmonic * problem.steps * (1 + problem.noise / m)).min())


def minibatch_time(problem: Problem, compute: Sequence[float], message: float = 0.0) -> float:
    """Return (h_n + tau)(L Delta/eps + sigma^2 L Delta/(n eps^2)), up to a constant.

    The paper has it for messages that take no time; with them it is a reconstruction. Cycle SGD
    takes the same.
    """
    slowest = max(compute) + message
    return slowest * problem.steps * (1 + problem.noise / len(compute))


def rounds_time(problem: Problem, compute: Sequence[float], message: float) -> float:
    """Return tau L Delta/eps plus the optimal time: Rennala and Local SGD, a reconstruction."""
    return message * problem.steps + optimal_time(problem, compute)


def ringmaster_time(problem: Problem, compute: Sequence[float], message: Sequence[float]) -> float:
    """Return the optimal time with h_i + tau_i in place of h_i: a reconstruction."""
    together = [h + tau for h, tau in zip(compute, message, strict=True)]
    return optimal_time(problem, together)
