"""Which systems are learned from, and which the answer is tested on.

Of many systems a random share is held out. Few systems are all learned from, and the test is a
cross-validation: each fold of the systems is compared with the model without that fold.
"""

from __future__ import annotations

import numpy as np

from popinv.seeds import generator

__all__ = ["FEW_SYSTEMS", "heldout_split", "learned_and_tested"]

FEW_SYSTEMS = 200
_FOLDS = 5


def learned_and_tested(
    count: int, heldout_fraction: float, seed: int
) -> tuple[np.ndarray, np.ndarray, int]:
    """Return the rows to learn from, the rows to test on, and the number of folds.

    Parameters
    ----------
    count : int
        Number of systems.
    heldout_fraction : float
        Share of held-out systems; not used for fewer than 200 systems.
    seed : int
        The study's seed.

    Returns
    -------
    learned, tested : ndarray of int
    folds : int
        0 if the tested systems are not among those learned from. Otherwise row i of ``tested`` is
        in fold i modulo ``folds``, and both hold the same rows in the same order.
    """
    if count >= FEW_SYSTEMS:
        return (*heldout_split(count, heldout_fraction, seed), 0)
    rows = generator(seed, "heldout/rows").permutation(count)
    return rows, rows, min(_FOLDS, count)


def heldout_split(count: int, heldout_fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows to learn from and a random share of held-out rows, both in random order.

    Parameters
    ----------
    count : int
        Number of systems.
    heldout_fraction : float
        Share of held-out systems, rounded to whole systems.
    seed : int
        The study's seed.

    Returns
    -------
    kept, heldout : ndarray of int
    """
    rows = generator(seed, "heldout/rows").permutation(count)
    kept = count - round(heldout_fraction * count)
    return rows[:kept], rows[kept:]
