"""Sets of points to forget, how many steps it takes, and whether that follows a score."""

from __future__ import annotations

import numpy as np
from scipy.stats import spearmanr

__all__ = [
    "hardest",
    "quantile_groups",
    "rank_correlation",
    "record_steps",
    "rows_kept",
    "steps_to_match",
]


def quantile_groups(scores: np.ndarray, size: int, count: int) -> np.ndarray:
    """Return groups of neighbours in rank, from the lowest scores to the highest.

    Parameters
    ----------
    scores : ndarray of shape (n,)
    size, count : int
        Points of a group, and groups.

    Returns
    -------
    ndarray of int, shape (count, size)
        Rows; no row is in two groups.

    Raises
    ------
    ValueError
        If there are too few points.
    """
    if size < 1 or count < 2 or size * count > len(scores):
        raise ValueError(f"{count} groups of {size} cannot be made of {len(scores)} points")
    order = np.argsort(scores, kind="stable")
    first = np.linspace(0, len(scores) - size, count).round().astype(int)
    return np.stack([order[start : start + size] for start in first])


def hardest(scores: np.ndarray, size: int) -> np.ndarray:
    """Return the rows of the highest scores."""
    return np.argsort(scores, kind="stable")[len(scores) - size :]


def rows_kept(groups: np.ndarray, points: int) -> np.ndarray:
    """Return which points a model keeps that forgets a group, shape (groups, points)."""
    kept = np.ones((len(groups), points), dtype=bool)
    np.put_along_axis(kept, groups, False, axis=1)
    return kept


def record_steps(steps: int, every: int) -> np.ndarray:
    """Return steps to look at: 0, 1, 2, 4, ... and then each ``every``, below ``steps``.

    Gradients change fastest in the beginning.
    """
    early = 2 ** np.arange(max(1, every).bit_length())
    found = np.unique(np.concatenate([[0], early, np.arange(0, steps, every)]))
    return found[found < steps]


def steps_to_match(
    measured: np.ndarray, wanted: np.ndarray, tolerance: float, at: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the first steps at which a measure is as it is without the points.

    Parameters
    ----------
    measured : ndarray of shape (records, groups)
        Along fine-tuning.
    wanted : ndarray of shape (groups,)
        Of models that never saw the group.
    tolerance : float
    at : ndarray of int, shape (records,)
        Steps of the records.

    Returns
    -------
    steps : ndarray of int, shape (groups,)
        The last record's where the measure never comes so close.
    reached : ndarray of bool, shape (groups,)
    """
    close = np.abs(measured - wanted) <= tolerance + 1e-9
    reached = close.any(axis=0)
    return np.where(reached, at[close.argmax(axis=0)], at[-1]), reached


def rank_correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Return Spearman's rank correlation, zero where one of the two does not vary."""
    if min(len(np.unique(a)), len(np.unique(b))) < 2:
        return 0.0
    return float(spearmanr(a, b).statistic)
