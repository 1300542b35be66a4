"""Split the systems into those to learn from and those held out for the assessment."""

from __future__ import annotations

import numpy as np

from popinv.seeds import generator

__all__ = ["heldout_split"]


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
