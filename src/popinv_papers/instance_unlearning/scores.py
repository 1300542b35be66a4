r"""Measures of the difficulty of a point; larger values mean harder in all of them.

``gradient_norm``  mean norm of the point's gradient over training
``el2n``           mean norm of softmax minus the one-hot label, early in training (Paul et al.,
                   NeurIPS 2021)
``c_proxy``        one minus the mean confidence in the true class over training, an inexpensive
                   proxy of the consistency score (Jiang et al., ICML 2021)
``memorisation``   accuracy on the point of models trained on it, minus that of models not trained
                   on it (Feldman and Zhang, NeurIPS 2020)

The paper's choice of measures could not be read; these are the usual ones.
"""

from __future__ import annotations

import numpy as np
import torch

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
    """Return the probability of the true class, and whether it is the largest.

    Returns
    -------
    confidence, right : ndarray of shape (models, n)
    """
    logits = _logits(network, weights, data)
    own = torch.softmax(logits, dim=2)[:, torch.arange(len(data)), data.labels]
    return own.numpy().astype(float), (logits.argmax(dim=2) == data.labels).numpy()


def label_errors(network: Network, weights: Weights, data: Data) -> np.ndarray:
    """Return the norm of softmax minus the one-hot label, shape (models, n)."""
    error = torch.softmax(_logits(network, weights, data), dim=2)
    error[:, torch.arange(len(data)), data.labels] -= 1
    return error.norm(dim=2).numpy().astype(float)


def memorisation(right: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Return the share of right answers with the point minus that without it.

    Parameters
    ----------
    right, kept : ndarray of bool, shape (models, n)
        Whether a model is right about a point, and whether it was trained on it.

    Returns
    -------
    ndarray of shape (n,)

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
