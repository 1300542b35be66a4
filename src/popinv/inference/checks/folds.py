r"""The folds of the tested systems, and the answer without them to first order.

With the influence I_n of system n on the answer p, and N_k of N systems in fold k, the answer
without the fold is to first order (the infinitesimal jackknife; Giordano et al., AISTATS 2019)

.. math:: p_{-k} \approx p - \frac{N}{N - N_k} \sum_{n \in k} I_n .
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr


def folds_of(observations: xr.Dataset) -> list[np.ndarray]:
    """Return the rows of ``y`` in each fold of tested systems.

    The list is empty if the tested systems are not among those learned from, as in a synthetic
    study.
    """
    folds = int(observations.attrs.get("folds", 0))
    learned, tested = observations.sizes["system"], observations.sizes["heldout_system"]
    return [np.arange(learned - tested + fold, learned, folds) for fold in range(folds)]


def first_order(p: np.ndarray, influence: np.ndarray, folds: Sequence[np.ndarray]) -> np.ndarray:
    """Return the answers without each fold to first order, (K, n_p).

    Parameters
    ----------
    p : ndarray of shape (n_p,)
    influence : ndarray of shape (N, n_p)
    folds : sequence of ndarray of int
        The systems of each fold.
    """
    count = len(influence)
    return np.array(
        [p - count / (count - len(rows)) * influence[rows].sum(axis=0) for rows in folds]
    )
