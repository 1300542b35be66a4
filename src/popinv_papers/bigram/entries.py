r"""Exact losses of both descents on groups of entries of W.

An entry of W depends only on the frequency pi_i of its context and on its conditional frequency
pi_{j|i}. Entries that share both move equally and are computed once.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.optimize import minimize_scalar

from popinv_papers.bigram.gradient_descent import first_step_below, relative_loss_of
from popinv_papers.bigram.sign_descent import distance

# Steps per factor of ten in the first, coarse search for the best step of sign descent.
_PER_DECADE = 12
# The search stops at this relative change of the loss.
_STEP_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Entries:
    """Groups of entries that move equally.

    Attributes
    ----------
    weights : ndarray of shape (g,)
        pi_i of each group.
    targets : ndarray of shape (g,)
        pi_{j|i} of each group.
    members : ndarray of shape (g,)
        Entries in each group; fractions are mean numbers.
    """

    weights: np.ndarray
    targets: np.ndarray
    members: np.ndarray

    @cached_property
    def shares(self) -> np.ndarray:
        """The weight of each group in the loss, shape (g,)."""
        return self.members * self.weights

    @cached_property
    def start(self) -> float:
        """L(0) - L*, half the sum of pi_i pi_{j|i}^2."""
        return float((self.shares * self.targets**2).sum()) / 2

    @cached_property
    def best(self) -> float:
        """L*, the loss of W = pi_{j|i}: 1/2 - (L(0) - L*)."""
        return 0.5 - self.start

    def gradient_loss(self, steps: float) -> float:
        """Return the relative loss of gradient descent after t steps of 1/pi_1."""
        return relative_loss_of(self.weights, self.members * self.targets**2, steps)

    def sign_loss(self, steps: int, step: float) -> float:
        """Return the exact relative loss of sign descent, including oscillations."""
        left = distance(self.targets, step, steps)
        # A product of vectors would wake the threads of the linear algebra, which costs more.
        return float((self.shares * left**2).sum()) / 2 / self.start

    def best_sign_loss(self, steps: int) -> tuple[float, float]:
        """Return the relative loss with the best step for a horizon, and that step.

        The best step lies between the smallest and the largest distance over T
        (Proposition 4.3). The search uses a grid, then a bounded search about its best point.
        """
        if steps < 1:
            return 1.0, float("nan")
        low = np.log(self.targets.min() / steps)
        high = np.log(self.targets.max() / steps)
        grid = np.linspace(low, high, max(3, int(_PER_DECADE * (high - low) / np.log(10))))
        losses = [self.sign_loss(steps, float(np.exp(x))) for x in grid]
        best = int(np.argmin(losses))
        minimum = minimize_scalar(
            lambda x: self.sign_loss(steps, float(np.exp(x))),
            bounds=(grid[max(0, best - 1)], grid[min(len(grid) - 1, best + 1)]),
            method="bounded",
            options={"xatol": _STEP_TOLERANCE},
        )
        if minimum.fun < losses[best]:
            return float(minimum.fun), float(np.exp(minimum.x))
        return float(losses[best]), float(np.exp(grid[best]))

    def gradient_steps_to(self, target: float) -> int:
        """Return the fewest steps of gradient descent to a relative loss."""
        return first_step_below(self.gradient_loss, target)

    def sign_steps_to(self, target: float) -> int:
        """Return the fewest steps of sign descent, with the best step for each horizon.

        Only even horizons are tried. The best loss depends on the parity, since an oscillating
        entry returns to the same place after every second step.
        """
        return 2 * first_step_below(lambda half: self.best_sign_loss(2 * half)[0], target)
