"""What the influence predicts, compared with fits without single systems."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import spearmanr
from tqdm import tqdm

from popinv.methods.withdrawal.influence import Influence
from popinv.methods.withdrawal.refit import Refit, Refitter


@dataclass(frozen=True)
class Checked:
    """Systems that were left out one at a time.

    Attributes
    ----------
    systems : ndarray of int, shape (n,)
    refits : list of Refit
    predicted_steps, steps : ndarray of int, shape (n,)
        Steps to forget each, as predicted, and as found. Both are zero for the distance.
    correlation : ndarray of shape (n_p,)
        Rank correlation of predicted and found shift of each parameter; NaN for held ones.
    """

    systems: np.ndarray
    refits: list[Refit]
    predicted_steps: np.ndarray
    steps: np.ndarray
    correlation: np.ndarray

    @property
    def shift(self) -> np.ndarray:
        """The shifts that were found, shape (n, n_p)."""
        return np.array([one.shift for one in self.refits]).reshape(-1, len(self.correlation))


def evenly_ranked(size: np.ndarray, count: int) -> np.ndarray:
    """Return the numbers of ``count`` systems from the smallest to the largest size.

    Examples
    --------
    >>> evenly_ranked(np.array([0.3, 0.1, 0.2]), 2)
    array([1, 0])
    """
    ranks = np.unique(np.linspace(0, len(size) - 1, min(count, len(size))).round().astype(int))
    return np.argsort(size, kind="stable")[ranks]


def check_systems(
    refitter: Refitter, influence: Influence, count: int, tolerance: float
) -> Checked:
    """Leave out systems of all sizes, one at a time, and compare with the prediction.

    Parameters
    ----------
    refitter : Refitter
    influence : Influence
    count : int
        Number of systems.
    tolerance : float
        In standard errors.
    """
    shifts = influence.shifts
    systems = evenly_ranked(influence.sizes, count)
    refits = [
        refitter.without(np.array([system]))
        for system in tqdm(systems, desc="systems left out", unit="system", disable=None)
    ]
    found = np.array([one.shift for one in refits]).reshape(-1, shifts.shape[1])
    correlation = np.full(shifts.shape[1], np.nan)
    for i in np.flatnonzero(influence.standard_error):
        if len(systems) > 2:
            correlation[i] = spearmanr(shifts[systems, i], found[:, i]).statistic
    counted = all(len(one.left) for one in refits)
    predicted = influence.steps_of_each(tolerance)[systems]
    steps = np.array([one.steps(tolerance) for one in refits], dtype=int)
    return Checked(systems, refits, predicted if counted else 0 * predicted, steps, correlation)
