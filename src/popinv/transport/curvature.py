r"""The curvature of the sliced Wasserstein loss, from the model's tangents.

Along one direction theta the loss compares quantile functions. To first order in a change of the
parameters p, the model's quantile function moves by the conditional mean of the sample's tangent
(the envelope theorem for one-dimensional transport):

.. math::
    \partial_i Q_\theta(u) = E[\langle \partial_i y, \theta\rangle \mid \langle y, \theta\rangle
    = Q_\theta(u)].

The Gauss-Newton matrix of J = (d_y / 2) SW^2 is therefore

.. math::
    H_{ij} = d_y\, E_\theta \int_0^1 \partial_i Q_\theta(u)\, \partial_j Q_\theta(u)\, du .

For Gaussian noise alone and Gamma near the truth it reduces to
``(2 tr(E_i E_j) + tr E_i tr E_j) / (4 (d_y + 2))`` with ``E_i = L^{-1} (d_i Gamma) L^{-T}``, which
the tests check. Steps preconditioned by H do not depend on the coordinates of law and noise, so
they are not slow along ridges, such as the ridge of amplitude and length of a correlated noise. The
construction is this package's own.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from popinv.late import torch
from popinv.store.compiled import njit
from popinv.transport.sorting import sort_rows


def gauss_newton_matrix(
    sample: torch.Tensor,
    sample_tangents: Iterable[torch.Tensor],
    directions: torch.Tensor,
    rows_per_bin: int = 20,
) -> torch.Tensor:
    """Return H, shape (n_p, n_p).

    Parameters
    ----------
    sample : Tensor of shape (M, d_y)
        A sample of the model.
    sample_tangents : Tensor of shape (n_p, M, d_y), or iterable of n_p of shape (M, d_y)
        Its tangents.
    directions : Tensor of shape (d_y, K)
        Whitened directions ``U = L^{-T} theta``.
    rows_per_bin : int
        Number of adjacent rows in projection over which the conditional mean is taken. More rows
        give less noise and less resolution in u.
    """
    count, d_y = sample.shape
    per_bin = count // max(1, count // rows_per_bin)
    order, _ = sort_rows((directions.T @ sample.T).numpy())
    means = np.stack(
        [
            binned_means((directions.T @ tangent.T).numpy(), order, per_bin).ravel()
            for tangent in sample_tangents
        ]
    )
    return torch.from_numpy(d_y * means @ means.T / means.shape[1])


@njit
def binned_means(rows: np.ndarray, order: np.ndarray, per_bin: int) -> np.ndarray:
    """Return the means of the entries that follow each other in the order of their row.

    Parameters
    ----------
    rows : ndarray of shape (K, n)
    order : ndarray of shape (K, n)
        Places of the entries of each row.
    per_bin : int
        Number of entries of a mean. Entries left over at the end belong to no mean.

    Returns
    -------
    ndarray of shape (K, n // per_bin)
    """
    means = np.empty((rows.shape[0], rows.shape[1] // per_bin))
    for k in range(means.shape[0]):
        row, places = rows[k], order[k]
        for j in range(means.shape[1]):
            total = 0.0
            for i in range(j * per_bin, (j + 1) * per_bin):
                total += row[places[i]]
            means[k, j] = total / per_bin
    return means
