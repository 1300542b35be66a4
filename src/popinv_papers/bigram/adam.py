r"""Adam on the square loss of the bigram model.

Entries do not interact. Each is a scalar, starts at 0, and has the gradient pi_i (w - pi_{j|i}).
The kernel follows an entry through all its steps before the next entry, so that its state stays in
registers. Adam depends on the gradient's scale only through ``epsilon``. Gradients of rare pairs
are tiny, so the usual 1e-8 would slow them down for a reason that has nothing to do with the
method.
"""

from __future__ import annotations

import numba
import numpy as np

from popinv_papers.bigram.entries import Entries

_EPSILON = 1e-16
_RATES_PER_DECADE = 4
_DECADES = 4


@numba.njit(cache=True, nogil=True)
def _losses(
    weights: np.ndarray,
    targets: np.ndarray,
    members: np.ndarray,
    rates: np.ndarray,
    roots: np.ndarray,
    beta_1: float,
    beta_2: float,
    epsilon: float,
    total: np.ndarray,
) -> None:
    for entry in range(len(targets)):
        weight, target = weights[entry], targets[entry]
        share = weight * members[entry]
        w, mean, square = 0.0, 0.0, 0.0
        total[0] += share * target * target
        for t in range(len(rates)):
            gradient = weight * (w - target)
            mean = beta_1 * mean + (1 - beta_1) * gradient
            square = beta_2 * square + (1 - beta_2) * gradient * gradient
            w -= rates[t] * mean / (np.sqrt(square) * roots[t] + epsilon)
            total[t + 1] += share * (w - target) ** 2


def adam_losses(
    entries: Entries, rate: float, steps: int, beta_1: float = 0.9, beta_2: float = 0.999
) -> np.ndarray:
    """Return the relative loss after 0, ..., T steps of Adam, shape (T + 1,).

    Parameters
    ----------
    entries : Entries
    rate : float
        Learning rate, constant.
    steps : int
        T.
    beta_1, beta_2 : float
        Decay rates of the mean and of the mean square.
    """
    total, t = np.zeros(steps + 1), np.arange(1, steps + 1)
    # The corrections for the zero start are the same for every entry.
    rates, roots = rate / (1 - beta_1**t), 1 / np.sqrt(1 - beta_2**t)
    groups = entries.weights, entries.targets, entries.members
    _losses(*groups, rates, roots, beta_1, beta_2, _EPSILON, total)
    return total / total[0]


def best_adam_losses(entries: Entries, horizons: np.ndarray) -> np.ndarray:
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
