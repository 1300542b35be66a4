"""The paper's Theorem 2.4 in numbers.

The theorem assumes an L-smooth f, unbiased gradients of variance at most sigma^2, and
Delta = f(x^0) - inf f. The goal is a mean of E |grad f(x^k)|^2 of at most eps.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from popinv.errors import ConfigError


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
        positive = self.smoothness > 0 and self.gap > 0 and self.accuracy > 0
        if not (positive and self.variance >= 0):
            raise ConfigError(
                f"smoothness {self.smoothness}, gap {self.gap} and accuracy {self.accuracy} must "
                f"be positive, variance {self.variance} not negative"
            )

    @property
    def steps(self) -> float:
        """L Delta / eps: the number of gradients of a run without noise, up to a constant."""
        return self.smoothness * self.gap / self.accuracy

    @property
    def noise(self) -> float:
        """sigma^2 / eps: the number of gradients that may be taken at one point at no cost."""
        return self.variance / self.accuracy


def step_size(problem: Problem, distance: int) -> float:
    """Return gamma = min(1/(2L), 1/(2RL), eps/(4 sigma^2 L)), of the paper's Theorem 2.4."""
    step = 1 / (2 * problem.smoothness * max(1, distance))
    if problem.variance > 0:
        step = min(step, 1 / (4 * problem.noise * problem.smoothness))
    return step


def gradients(problem: Problem, distance: int) -> float:
    """Return K = 4 (R+1) L Delta/eps + 8 sigma^2 L Delta/eps^2, of the paper's Theorem 2.4."""
    return 4 * (distance + 1) * problem.steps + 8 * problem.noise * problem.steps


def batch(problem: Problem) -> int:
    """Return max(ceil(sigma^2/eps), 1), the paper's B and G (its M G for both together)."""
    return max(1, math.ceil(problem.noise))


def least_time(problem: Problem, compute: Sequence[float]) -> float:
    r"""Return the lower bound on the time of any method, up to a constant.

    With h_1 <= ... <= h_n the times of a gradient, and messages that take no time, it is

    .. math:: \min_m \Bigl( \frac1m \sum_{i \le m} \frac1{h_i} \Bigr)^{-1}
              \Bigl( \frac{L \Delta}{\epsilon} + \frac{\sigma^2 L \Delta}{m \epsilon^2} \Bigr).
    """
    fastest = sorted(compute)
    times = []
    for m in range(1, len(fastest) + 1):
        mean_speed = sum(1 / h for h in fastest[:m]) / m
        times.append((problem.steps + problem.noise * problem.steps / m) / mean_speed)
    return min(times)


def own_time(name: str, problem: Problem, compute: Sequence[float]) -> float:
    r"""Return the bound on a method's time, up to a constant, with messages that take no time.

    Vanilla SGD uses the fastest worker, h_1 (L Delta/eps + sigma^2 L Delta/eps^2). Synchronized SGD
    and Cycle SGD wait for the slowest, h_n (L Delta/eps + sigma^2 L Delta/(n eps^2)). All others
    have the lower bound itself, :func:`least_time`: they are optimal.
    """
    if name == "vanilla":
        return min(compute) * (problem.steps + problem.noise * problem.steps)
    if name in ("minibatch", "cycle"):
        return max(compute) * (problem.steps + problem.noise * problem.steps / len(compute))
    return least_time(problem, compute)
