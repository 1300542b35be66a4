r"""How hard a point is to forget: scores of points, barriers of the loss, and steps to forget.

Larger values of a score mean harder in all of them.

``gradient_norm``  mean norm of the point's gradient over training
``el2n``           mean norm of softmax minus the one-hot label, early in training (Paul et al.,
                   NeurIPS 2021)
``c_proxy``        one minus the mean confidence in the true class over training, an inexpensive
                   proxy of the consistency score (Jiang et al., ICML 2021)
``memorisation``   lead in accuracy on the point of models trained on it over models not trained
                   on it (Feldman and Zhang, NeurIPS 2020)

A barrier of the loss lies on the straight line between two sets of weights,

.. math:: B(\theta_0, \theta_1; S) = \max_{0 \le t \le 1} L_S((1 - t) \theta_0 + t \theta_1)
    - [(1 - t) L_S(\theta_0) + t L_S(\theta_1)]

where t = 0 makes it non-negative. The paper's choice of scores and its definition of a barrier
could not be read; these are the usual ones. Forget sets are groups of points, and the number of
steps to forget them is compared with a score.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from scipy.stats import ks_2samp, spearmanr

from popinv_papers.instance_unlearning.networks import Network, Weights
from popinv_papers.instance_unlearning.training import Data

# Number of points whose gradients are held in memory together.
_ROWS = 64


def _logits(network: Network, weights: Weights, data: Data) -> torch.Tensor:
    with torch.no_grad():
        return torch.func.vmap(lambda one: network.logits(one, data.images))(weights)


def gradient_norms(network: Network, weights: Weights, data: Data) -> np.ndarray:
    """Return the norm of every point's gradient, shape (models, n)."""
    parts = [
        network.norms(weights, data.images[rows], data.labels[rows])
        for rows in torch.arange(len(data)).split(_ROWS)
    ]
    return torch.cat(parts, dim=1).double().numpy()


def confidences(network: Network, weights: Weights, data: Data) -> tuple[np.ndarray, np.ndarray]:
    """Return the probability of the true class, and whether it is the largest, (models, n)."""
    logits = _logits(network, weights, data)
    own = torch.softmax(logits, dim=2)[:, torch.arange(len(data)), data.labels]
    return own.numpy().astype(float), (logits.argmax(dim=2) == data.labels).numpy()


def label_errors(network: Network, weights: Weights, data: Data) -> np.ndarray:
    """Return the norm of softmax minus the one-hot label, shape (models, n)."""
    error = torch.softmax(_logits(network, weights, data), dim=2)
    error[:, torch.arange(len(data)), data.labels] -= 1
    return error.norm(dim=2).numpy().astype(float)


def memorisation(right: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Return the share of right answers with the point minus that without it, shape (n,).

    Both arrays are of shape (models, n): whether a model is right about a point, and whether it was
    trained on it.

    Raises
    ------
    ValueError
        If a point is in the data of every model, or of none.
    """
    with_it, without = kept.sum(axis=0), (~kept).sum(axis=0)
    if not (with_it.all() and without.all()):
        raise ValueError(
            "a point is part of the data of all models, or of none; draw more models' data"
        )
    return (right & kept).sum(axis=0) / with_it - (right & ~kept).sum(axis=0) / without


def losses_along(
    network: Network, start: Weights, end: Weights, data: Data, places: int = 21
) -> np.ndarray:
    """Return the mean loss on S at places of the line, with both ends, shape (models, places)."""
    losses = []
    of_stack = torch.func.vmap(lambda one: network.losses(one, data.images, data.labels).mean())
    with torch.no_grad():
        for t in np.linspace(0, 1, places):
            between = {name: torch.lerp(start[name], end[name], float(t)) for name in start}
            losses.append(of_stack(between).numpy())
    return np.array(losses, dtype=float).T


def loss_barrier(losses: np.ndarray, against: Literal["line", "mean"] = "line") -> np.ndarray:
    """Return the barrier of losses (models, places) at equidistant points, shape (models,).

    The reference of the largest loss is the line between the losses of the two ends, or their mean
    (Frankle, Dziugaite, Roy and Carbin, ICML 2020), which includes half of the ends' difference
    even if there is no barrier.
    """
    if against == "mean":
        return losses.max(axis=1) - (losses[:, 0] + losses[:, -1]) / 2
    t = np.linspace(0, 1, losses.shape[1])
    line = (1 - t) * losses[:, :1] + t * losses[:, -1:]
    return (losses - line).max(axis=1)


def quantile_groups(scores: np.ndarray, size: int, count: int) -> np.ndarray:
    """Return groups of points of neighbouring rank, from the lowest scores (n,) to the highest.

    They are rows (count, size), and no row is in two groups.

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


def mean_over_steps(values: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Return the mean over the steps of values (..., records) that were recorded at some steps."""
    lengths = np.diff(np.append(at, at[-1] + 1))
    return np.asarray(values @ lengths / lengths.sum())


def indistinguishable(seen: np.ndarray, unseen: np.ndarray, level: float) -> bool:
    """Return whether two samples pass Kolmogorov's and Smirnov's test for equal laws.

    They differ if the p-value is below the level.
    """
    return bool(ks_2samp(seen, unseen, method="asymp").pvalue > level)


def steps_to_match(
    seen: np.ndarray, unseen: np.ndarray, level: float, at: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the first steps at which models are like models that never saw the points.

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
    steps, reached : ndarray of shape (groups,)
        The step of the last record, and false, if they differ to the end.
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
    sets. All arrays are of shape (groups,).
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
    """Return how often, of two sets, the one of larger score takes more steps (Harrell's C).

    A set that was not unlearned takes more steps than were made. A pair is compared if it is known
    which of the two takes fewer. Equal scores count half. It is 1 for the right order, 0.5 for
    chance, and NaN if no pair can be compared. All arrays are of shape (groups,).

    References
    ----------
    Harrell, Califf, Pryor, Lee and Rosati, JAMA 247, 2543 (1982).
    """
    # Row: the set that is unlearned first. A set that was not reached is later than any that was.
    first = reached[:, None] & ((steps[:, None] < steps) | ~reached)
    right = (scores[:, None] < scores) + 0.5 * (scores[:, None] == scores)
    return float(right[first].mean()) if first.any() else float("nan")
