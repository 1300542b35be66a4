r"""Scores of a whole pool from the scores of a few landmarks.

Gradients are computed for a few landmarks only, and inexpensive embeddings for all samples. The
landmarks' scores, one column for each target sample, are spread to the other samples by the
similarity of their embeddings. An embedding is the derivative of a network's features along random
directions of its weights, by forward mode, with the same directions for every sample. It needs no
label and no backward pass.

Two rules spread scores. Kernel regression is that of the authors' released code,

.. math:: \hat p = K_{SL} (K_{LL} + \delta I)^{-1} p_L, \qquad
    K_{ij} = \exp(-\|e_i - e_j\|^2 / 2\sigma^2),

with sigma the median distance of landmarks and delta one hundredth of the mean of K's diagonal. The
linear rule, p = E_S E_L^T (E_L E_L^T + mu I)^{-1} p_L, is a reconstruction.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from scipy.linalg import cho_factor, cho_solve
from torch import Tensor
from torch.func import jvp, vmap

from popinv.errors import ConfigError
from popinv_papers.influence.gradients import Samples, parts

_MOST_FOR_MEDIAN = 1000


def draw_landmarks(count: int, size: int, rng: np.random.Generator) -> np.ndarray:
    """Return the numbers of landmarks drawn from a pool, ascending, shape (size,).

    Raises
    ------
    ConfigError
        If the pool has fewer samples.
    """
    if not 1 <= size <= count:
        raise ConfigError(f"got {size} landmarks, must lie in 1..{count}, the samples of the pool")
    return np.sort(rng.permutation(count)[:size])


def tangent_embeddings(
    features: Callable[..., Tensor],
    theta: Tensor,
    samples: Samples,
    tangents: Tensor,
    rows: int = 256,
) -> Tensor:
    """Return the derivatives of features along directions of the weights.

    Parameters
    ----------
    features : callable
        Maps theta and samples to an array of shape (n, h).
    theta : Tensor of shape (d,)
    tangents : Tensor of shape (V, d)

    Returns
    -------
    Tensor of shape (n, V h)
    """
    embedded = []
    for part in parts(samples, rows):

        def along(v: Tensor, part: tuple[Tensor, ...] = part) -> Tensor:
            return jvp(lambda weights: features(weights, *part), (theta,), (v,))[1]

        # All tangents are computed together, so that the pass without tangent is made once.
        together = vmap(along)(tangents).detach()
        embedded.append(together.transpose(0, 1).flatten(1))
    return torch.cat(embedded)


def kernel_spread(
    embeddings: np.ndarray, landmarks: np.ndarray, scores: np.ndarray, damping: float = 1e-2
) -> np.ndarray:
    """Return the scores of all samples by kernel ridge regression from the landmarks' scores.

    Parameters
    ----------
    embeddings : ndarray of shape (n, h)
    landmarks : ndarray of int, shape (l,)
    scores : ndarray of shape (l,) or (l, m)
        Scores of the landmarks.
    damping : float
        Relative to the kernel's value at distance 0.

    Returns
    -------
    ndarray of shape (n,) or (n, m)
    """
    everywhere = np.asarray(embeddings, dtype=float)
    known = everywhere[landmarks]
    distances = squared_distances(known, known)
    few = distances[:_MOST_FOR_MEDIAN, :_MOST_FOR_MEDIAN]
    pairs = few[np.triu_indices(len(few), 1)]
    # The median of the distances equals that of their squares only for an odd number of pairs.
    bandwidth = float(np.median(np.sqrt(pairs))) if len(pairs) else 1.0
    if not bandwidth > 0:
        raise ConfigError(
            "at least half of the landmarks have the same embedding, so the distances between "
            "samples have no scale; embed more of each sample"
        )
    kernel = np.exp(-distances / (2 * bandwidth**2))
    kernel[np.diag_indices(len(kernel))] += damping
    coefficients = cho_solve(cho_factor(kernel, lower=True), np.asarray(scores, dtype=float))
    cross = np.exp(-squared_distances(everywhere, known) / (2 * bandwidth**2))
    return cross @ coefficients


def linear_spread(
    embeddings: np.ndarray, landmarks: np.ndarray, scores: np.ndarray, damping: float = 1e-4
) -> np.ndarray:
    """Return the scores of all samples by linear ridge regression.

    ``damping`` is relative to the mean squared length of the landmarks' embeddings.
    """
    everywhere = np.asarray(embeddings, dtype=float)
    known = everywhere[landmarks]
    gram = known @ known.T
    scale = float(np.trace(gram)) / len(gram)
    gram[np.diag_indices(len(gram))] += damping * (scale or 1.0)
    coefficients = cho_solve(cho_factor(gram, lower=True), np.asarray(scores, dtype=float))
    return everywhere @ (known.T @ coefficients)


def squared_distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return |a_i - b_j|^2, shape (n, m), of rows (n, h) and (m, h); none is below 0."""
    squares = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2 * a @ b.T
    return np.maximum(squares, 0)
