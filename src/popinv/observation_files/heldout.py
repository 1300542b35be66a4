"""Which systems are learned from, and which the answer is tested on.

All systems of a file are learned from. The tests compare some of them with the answer refitted
without them (:mod:`popinv.inference.uncertainty.leave_out`): of many systems a random share, held
out at once, and of few systems every fold in turn, which is a cross-validation. Crossed levels may
join all members into so few groups that none can be left out.
"""

from __future__ import annotations

import numpy as np

from popinv.sections.systems import FEWEST_TESTED
from popinv.seeds import generator

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
        Share of systems that the answer is tested on; not used for fewer than 200 systems, which
        are all tested on.
    seed : int
        The study's seed.

    Returns
    -------
    learned, tested : ndarray of int
        ``learned`` holds all rows in random order, and ``tested`` the last of them.
    folds : int
        Row i of ``tested`` is in fold i modulo ``folds``. Each fold is compared with the answer
        without it. 0, and no row is tested, for few systems
        (:data:`popinv.sections.systems.FEWEST_TESTED`).
    """
    if count >= FEW_SYSTEMS:
        kept, heldout = heldout_split(count, heldout_fraction, seed)
        return np.concatenate([kept, heldout]), heldout, 1
    rows = generator(seed, "heldout/rows").permutation(count)
    if count < FEWEST_TESTED:
        return rows, rows[:0], 0
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
