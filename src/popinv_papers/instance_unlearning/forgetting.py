"""Forget sets, the number of steps to forget them, and its dependence on a score."""

from __future__ import annotations

import numpy as np
from scipy.stats import ks_2samp, spearmanr


def quantile_groups(scores: np.ndarray, size: int, count: int) -> np.ndarray:
    """Return groups of points of neighbouring rank, from the lowest scores to the highest.

    Parameters
    ----------
    scores : ndarray of shape (n,)
    size, count : int
        Number of points in a group, and of groups.

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
    """Return the points kept by a model that forgets a group, shape (groups, points)."""
    kept = np.ones((len(groups), points), dtype=bool)
    np.put_along_axis(kept, groups, False, axis=1)
    return kept


def record_steps(steps: int, every: int) -> np.ndarray:
    """Return the steps to record: 0, 1, 2, 4, ... and then each multiple of ``every``.

    The steps are below ``steps``. Gradients change fastest at the beginning.
    """
    early = 2 ** np.arange(max(1, every).bit_length())
    recorded = np.unique(np.concatenate([[0], early, np.arange(0, steps, every)]))
    return recorded[recorded < steps]


def indistinguishable(seen: np.ndarray, unseen: np.ndarray, level: float) -> bool:
    """Return whether two samples cannot be told apart, by Kolmogorov's and Smirnov's test.

    Parameters
    ----------
    seen, unseen : ndarray of shape (n,), (m,)
    level : float
        P-value below which they are told apart.
    """
    return bool(ks_2samp(seen, unseen, method="asymp").pvalue > level)


def steps_to_match(
    seen: np.ndarray, unseen: np.ndarray, level: float, at: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the first steps at which models cannot be told from those that never saw the points.

    Parameters
    ----------
    seen : ndarray of shape (records, groups, n)
        The confidence in each point's class along fine-tuning without the group.
    unseen : ndarray of shape (groups, m)
        The confidences of models that were never trained on the group.
    level : float
        Of :func:`indistinguishable`.
    at : ndarray of int, shape (records,)
        Steps of the records.

    Returns
    -------
    steps : ndarray of int, shape (groups,)
        The step of the last record if they can be told apart to the end.
    reached : ndarray of bool, shape (groups,)
    """
    groups = len(unseen)
    steps, reached = np.full(groups, at[-1]), np.zeros(groups, dtype=bool)
    for group in range(groups):
        for record, step in enumerate(at):
            if indistinguishable(seen[record, group], unseen[group], level):
                steps[group], reached[group] = step, True
                break
    return steps, reached


def log_slope(losses: np.ndarray, steps: np.ndarray, reached: np.ndarray) -> float:
    """Return by how many steps a set of tenfold loss takes longer, from the sets that were reached.

    The slope of the least-squares line through (log10 of the loss, steps); NaN for fewer than three
    sets.

    Parameters
    ----------
    losses, steps, reached : ndarray of shape (groups,)
    """
    if reached.sum() < 3:
        return float("nan")
    return float(np.polyfit(np.log10(losses[reached]), steps[reached], 1)[0])


def rank_correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Return Spearman's rank correlation, or zero if one of the two is constant."""
    if min(len(np.unique(a)), len(np.unique(b))) < 2:
        return 0.0
    return float(spearmanr(a, b).statistic)


def concordance(scores: np.ndarray, steps: np.ndarray, reached: np.ndarray) -> float:
    """Return how often, of two sets, that of the larger score takes more steps (Harrell's C).

    A set that was not unlearned takes more steps than were made. A pair is compared if it is known
    which of the two takes fewer. Equal scores count half.

    Parameters
    ----------
    scores, steps : ndarray of shape (groups,)
    reached : ndarray of bool, shape (groups,)

    Returns
    -------
    float
        1 for the right order, 0.5 for chance, NaN if no pair can be compared.

    References
    ----------
    Harrell, Califf, Pryor, Lee and Rosati, JAMA 247, 2543 (1982).
    """
    # Row: the set that is unlearned first. A set that was not reached is later than any that was.
    first = reached[:, None] & ((steps[:, None] < steps) | ~reached)
    right = (scores[:, None] < scores) + 0.5 * (scores[:, None] == scores)
    return float(right[first].mean()) if first.any() else float("nan")
