r"""Bigrams of sequences of symbols as groups of entries of W, and exact losses of descents on them.

An entry of W depends only on the frequency pi_i of its context and on its conditional frequency
pi_{j|i}. Entries that share both move equally and are computed once.

The counts are sparse. An entry of W whose pair never occurs starts at its target, has no gradient
and never moves. Many entries move equally, for example all pairs that occur once in contexts that
occur equally often.

The power law of the paper knows no sparse counts: it moves every entry. :meth:`Bigrams.matched`
corrects for them. Assumption 2.3 says that the sorted conditional frequencies are the same in all
contexts. Here they are the same in contexts that occur equally often, and are taken from another
part of the text.

Under Adam entries do not interact. Each is a scalar, starts at 0, and has the gradient
pi_i (w - pi_{j|i}). The kernel follows an entry through all its steps before the next entry, so
that its state stays in registers. Adam depends on the gradient's scale only through ``epsilon``.
Gradients of rare pairs are tiny, so the usual 1e-8 would slow them down for a reason that has
nothing to do with the method.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.optimize import minimize_scalar

from popinv.errors import DataError
from popinv.seeds import generator
from popinv.store.compiled import njit
from popinv_papers.bigram.gradient_descent import first_step_below, relative_loss_of
from popinv_papers.bigram.sign_descent import distance

# Steps per factor of ten in the first, coarse search for the best step of sign descent.
_PER_DECADE = 12
# The search stops at this relative change of the loss.
_STEP_TOLERANCE = 1e-3


@dataclass(frozen=True)
class EntryGroups:
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

    def steps_to(self, target: float) -> dict[str, int]:
        """Return the fewest steps of each descent to a relative loss."""
        return {"gradient": self.gradient_steps_to(target), "sign": self.sign_steps_to(target)}


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
    def entries(self) -> EntryGroups:
        """The pairs as groups of entries that move equally."""
        of_context = self.context_counts[self.first].astype(np.int64)
        code, number = np.unique(
            of_context * (self.counts.max() + 1) + self.counts, return_counts=True
        )
        of_context, counts = np.divmod(code, self.counts.max() + 1)
        return EntryGroups(of_context / self.counts.sum(), counts / of_context, number)

    def matched(self, context_counts: np.ndarray) -> EntryGroups:
        """Return entries that these pairs predict for another text, from its contexts alone.

        A context of the other text gets the sorted conditional frequencies of the contexts here
        that occur equally often, or nearly so. Where there are several, it gets their mean numbers
        of entries. Contexts that do not occur are left out.
        """
        own, contexts = np.unique(self.context_counts[self.context_counts > 0], return_counts=True)
        wanted, copies = np.unique(context_counts[context_counts > 0], return_counts=True)
        # The nearest number of occurrences, by ratio.
        middles = np.sqrt(own[1:] * own[:-1])
        source = np.searchsorted(middles, wanted)
        of_context = np.rint(self.entries.weights * self.counts.sum())
        place = np.searchsorted(own, of_context)
        weights, targets, members = [], [], []
        for each, copy, row in zip(wanted, copies, source, strict=True):
            low, high = np.searchsorted(place, [row, row + 1])
            targets.append(self.entries.targets[low:high])
            members.append(self.entries.members[low:high] * (copy / contexts[row]))
            weights.append(np.full(high - low, each / context_counts.sum()))
        return EntryGroups(*map(np.concatenate, (weights, targets, members)))


def halves(sequences: Sequence[np.ndarray], size: int, seed: int) -> tuple[Bigrams, Bigrams]:
    """Return the bigrams of both random halves of some sequences."""
    order = generator(seed, "bigram/halves").permutation(len(sequences))
    first, second = (
        Bigrams.of([sequences[i] for i in half], size) for half in np.array_split(order, 2)
    )
    return first, second


_BETA_1, _BETA_2, _EPSILON = 0.9, 0.999, 1e-16
_RATES_PER_DECADE = 4
_DECADES = 4


@njit
def _losses(
    weights: np.ndarray,
    targets: np.ndarray,
    members: np.ndarray,
    rates: np.ndarray,
    roots: np.ndarray,
    total: np.ndarray,
) -> None:
    for entry in range(len(targets)):
        weight, target = weights[entry], targets[entry]
        share = weight * members[entry]
        w, mean, square = 0.0, 0.0, 0.0
        total[0] += share * target * target
        for t in range(len(rates)):
            gradient = weight * (w - target)
            mean = _BETA_1 * mean + (1 - _BETA_1) * gradient
            square = _BETA_2 * square + (1 - _BETA_2) * gradient * gradient
            w -= rates[t] * mean / (np.sqrt(square) * roots[t] + _EPSILON)
            total[t + 1] += share * (w - target) ** 2


def adam_losses(entries: EntryGroups, rate: float, steps: int) -> np.ndarray:
    """Return the relative loss after 0, ..., T steps of Adam of a constant rate, shape (T + 1,)."""
    total, t = np.zeros(steps + 1), np.arange(1, steps + 1)
    # The corrections for the zero start are the same for every entry.
    rates, roots = rate / (1 - _BETA_1**t), 1 / np.sqrt(1 - _BETA_2**t)
    _losses(entries.weights, entries.targets, entries.members, rates, roots, total)
    return total / total[0]


def best_adam_losses(entries: EntryGroups, horizons: np.ndarray) -> np.ndarray:
    """Return the relative loss at each horizon with the best constant rate of a grid.

    The grid has four rates per factor of ten over four decades below the largest distance.
    """
    horizons = np.asarray(horizons, dtype=int)
    largest = float(entries.targets.max())
    exponents = np.arange(_DECADES * _RATES_PER_DECADE + 1) / _RATES_PER_DECADE
    losses = [
        adam_losses(entries, largest * 10.0**-power, int(horizons.max()))[horizons]
        for power in exponents
    ]
    return np.min(losses, axis=0)
