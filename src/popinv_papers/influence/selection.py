"""Selection of k samples from scores."""

from __future__ import annotations

import numpy as np

from popinv.errors import ConfigError


def top(scores: np.ndarray, size: int) -> np.ndarray:
    """Return the numbers of the k largest scores, best first; of equal scores the first.

    Raises
    ------
    ConfigError
        If k is not a number from 1 to n.
    """
    _check(size, len(scores))
    return np.argsort(-np.asarray(scores, dtype=float), kind="stable")[:size]


def round_robin(
    scores: np.ndarray, size: int, rng: np.random.Generator | None = None
) -> np.ndarray:
    """Return k different samples, which the target samples choose in turns.

    Each takes the remaining sample with its best score, until k are taken.

    Parameters
    ----------
    scores : ndarray of shape (n, m)
        One column for each target sample.
    size : int
        k.
    rng : Generator, optional
        Draws the order of the target samples anew for every round, as in the released code. By
        default the order is that of the columns.

    Returns
    -------
    ndarray of int, shape (k,)
        Indices in the order of the turns.

    Raises
    ------
    ConfigError
        If k is not a number from 1 to n.
    """
    scores = np.asarray(scores, dtype=float)
    count, targets = scores.shape
    _check(size, count)
    ranking = np.argsort(-scores, axis=0, kind="stable")
    free = np.ones(count, dtype=bool)
    place = np.zeros(targets, dtype=int)
    chosen: list[int] = []
    while True:
        for target in range(targets) if rng is None else rng.permutation(targets):
            column = ranking[:, target]
            while not free[column[place[target]]]:
                place[target] += 1
            best = int(column[place[target]])
            free[best] = False
            chosen.append(best)
            if len(chosen) == size:
                return np.array(chosen)


def _check(size: int, count: int) -> None:
    if not 1 <= size <= count:
        raise ConfigError(f"got {size} samples to select, must lie in 1..{count}")
