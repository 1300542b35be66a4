"""Features of one system alone, on a scale from reference systems."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from popinv.errors import ConfigError, DataError

__all__ = ["Scale", "scale_of"]

# Whitened components have a length of about sqrt(r + 1). Few systems exceed this multiple of it.
_MARGIN = 1.5


@dataclass(frozen=True)
class Scale:
    """Mean and deviation (d_y,) of the reference systems, and their first principal components.

    Attributes
    ----------
    mean, deviation : ndarray of shape (d_y,)
    components : ndarray of shape (d_y - 1, r)
        Principal components of the other quantities, scaled to variance 1.
    target : int
        The predicted quantity.
    """

    mean: np.ndarray
    deviation: np.ndarray
    components: np.ndarray
    target: int

    def features(self, y: np.ndarray) -> np.ndarray:
        """Return features (n, r + 1) of length at most 1: components and a constant.

        They are divided by _MARGIN times their usual length, and longer ones are cut to 1. Missing
        entries are set to the mean.
        """
        scaled = np.nan_to_num(np.delete((y - self.mean) / self.deviation, self.target, axis=1))
        whole = np.column_stack([scaled @ self.components, np.ones(len(y))])
        usual = _MARGIN * math.sqrt(whole.shape[1])
        lengths = np.linalg.norm(whole, axis=1, keepdims=True)
        return np.asarray(whole / np.maximum(lengths, usual))

    def targets(self, y: np.ndarray) -> np.ndarray:
        """Return the observations to predict, (n, 1); NaN if missing."""
        at = [self.target]
        return np.asarray((y[:, at] - self.mean[at]) / self.deviation[at])


def scale_of(reference: np.ndarray, target: int, components: int) -> Scale:
    """Return the scale of the observed entries of reference systems (n, d_y).

    There are fewer components than requested if fewer quantities vary, or if there are fewer than
    four systems for each.

    Raises
    ------
    ConfigError
        If the target is not one of the observed quantities.
    DataError
        If there are too few systems or quantities for a scale.
    """
    systems, quantities = reference.shape
    if not 0 <= target < quantities:
        raise ConfigError(
            f"downstream.certified_unlearning.observation is {target}: must be from 0 to "
            f"{quantities - 1}"
        )
    observed = np.isfinite(reference).sum(axis=0)
    if systems < 4 or quantities < 2 or observed[target] < 2:
        raise DataError(
            f"{systems} reference systems with {quantities} observed quantities, "
            f"{observed[target]} of them with that to predict: a read-out needs 4, 2 and 2"
        )
    # A quantity that was never observed is removed by a scaled value of 0.
    rows = np.where(observed == 0, 0.0, reference)
    mean, deviation = np.nanmean(rows, axis=0), np.nanstd(rows, axis=0)
    deviation = np.where(deviation > 1e-12 * (1 + np.abs(mean)), deviation, 1.0)
    scaled = np.nan_to_num(np.delete((rows - mean) / deviation, target, axis=1))
    _, sizes, vectors = np.linalg.svd(scaled, full_matrices=False)
    count = min(components, systems // 4, int((sizes > 1e-9 * max(sizes[0], 1.0)).sum()))
    if count < 1:
        raise DataError("the other observed quantities of the reference systems do not vary")
    whitening = vectors[:count].T * (math.sqrt(systems) / sizes[:count])
    return Scale(mean, deviation, whitening, target)
