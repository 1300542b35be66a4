r"""Bigrams of sequences of symbols, and the exact losses of both descents on them.

The counts are sparse. An entry of W whose pair never occurs starts at its target, has no gradient
and never moves. An entry depends only on the frequency pi_i of its context and on its conditional
frequency pi_{j|i}. Many entries share both, for example all pairs that occur once in contexts that
occur equally often. Such entries are computed once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.optimize import minimize_scalar

from popinv.downstream.bigram.gradient_descent import first_step_below, relative_loss_of
from popinv.downstream.bigram.sign_descent import distance
from popinv.errors import DataError

__all__ = ["Bigrams"]

# Steps per factor of ten in the first, coarse search for the best step of sign descent.
_PER_DECADE = 12
# The search stops at this relative change of the loss.
_STEP_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Bigrams:
    """Pairs of neighbours that occur, sorted by the first symbol.

    Attributes
    ----------
    first, second : ndarray of int, shape (n,)
        i and j of each pair that occurs.
    counts : ndarray of int, shape (n,)
        Number of occurrences of each.
    size : int
        d, the number of symbols.
    """

    first: np.ndarray
    second: np.ndarray
    counts: np.ndarray
    size: int

    @classmethod
    def of(cls, sequences: Sequence[np.ndarray], size: int) -> Bigrams:
        """Count the pairs of neighbours within each sequence of whole numbers in [0, size).

        Raises
        ------
        DataError
            If a symbol lies outside, or no sequence has two symbols.
        """
        codes = []
        for sequence in sequences:
            symbols = np.asarray(sequence, dtype=np.int64)
            if len(symbols) and not (symbols.min() >= 0 and symbols.max() < size):
                raise DataError(
                    f"symbols lie between {symbols.min()} and {symbols.max()}, must lie in "
                    f"[0, {size})"
                )
            codes.append(symbols[:-1] * size + symbols[1:])
        if not sum(map(len, codes)):
            raise DataError("no sequence has two symbols, so there are no pairs to learn from")
        pairs, counts = np.unique(np.concatenate(codes), return_counts=True)
        return cls(pairs // size, pairs % size, counts, int(size))

    @cached_property
    def context_counts(self) -> np.ndarray:
        """Number of pairs of which each symbol is the first, shape (d,)."""
        return np.bincount(self.first, weights=self.counts, minlength=self.size)

    @cached_property
    def marginals(self) -> np.ndarray:
        """pi_i, shape (d,)."""
        return self.context_counts / self.counts.sum()

    @cached_property
    def _groups(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        of_context = self.context_counts[self.first].astype(np.int64)
        code, number = np.unique(
            of_context * (self.counts.max() + 1) + self.counts, return_counts=True
        )
        of_context, counts = np.divmod(code, self.counts.max() + 1)
        weights = of_context / self.counts.sum()
        return weights, counts / of_context, number

    @cached_property
    def targets(self) -> np.ndarray:
        """pi_{j|i} of each group of entries that move equally, shape (g,)."""
        return self._groups[1]

    @cached_property
    def weights(self) -> np.ndarray:
        """pi_i of each group, shape (g,)."""
        return self._groups[0]

    @cached_property
    def members(self) -> np.ndarray:
        """Entries in each group, shape (g,)."""
        return self._groups[2]

    @cached_property
    def start(self) -> float:
        """L(0) - L*, half the sum of pi_i pi_{j|i}^2."""
        return float((self.members * self.weights) @ self.targets**2) / 2

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
        return float((self.members * self.weights) @ left**2) / 2 / self.start

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
