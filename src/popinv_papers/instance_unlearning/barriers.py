r"""Barriers of the loss on the straight line between two sets of weights.

.. math:: B(\theta_0, \theta_1; S) = \max_{0 \le t \le 1} L_S((1 - t) \theta_0 + t \theta_1)
    - [(1 - t) L_S(\theta_0) + t L_S(\theta_1)]

This is the usual definition; the paper's could not be read. t = 0 makes it non-negative.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch

from popinv_papers.instance_unlearning.networks import Network, Weights
from popinv_papers.instance_unlearning.training import Data


def losses_along(
    network: Network, start: Weights, end: Weights, data: Data, places: int = 21
) -> np.ndarray:
    """Return the mean loss at equidistant points of the line, shape (models, places).

    Parameters
    ----------
    start, end : dict
        Weights of two stacks with equally many models.
    data : Data
        S.
    places : int
        Number of points, with both ends.
    """
    losses = []
    of_stack = torch.func.vmap(lambda one: network.losses(one, data.images, data.labels).mean())
    with torch.no_grad():
        for t in np.linspace(0, 1, places):
            between = {name: torch.lerp(start[name], end[name], float(t)) for name in start}
            losses.append(of_stack(between).numpy())
    return np.array(losses, dtype=float).T


def loss_barrier(losses: np.ndarray, against: Literal["line", "mean"] = "line") -> np.ndarray:
    """Return the barrier of each row of losses at equidistant points, shape (models,).

    Parameters
    ----------
    losses : ndarray of shape (models, places)
    against : {"line", "mean"}
        The reference of the largest loss: the line between the losses of the two ends, or their
        mean (Frankle, Dziugaite, Roy and Carbin, ICML 2020), which includes half of the ends'
        difference even if there is no barrier.
    """
    if against == "mean":
        return losses.max(axis=1) - (losses[:, 0] + losses[:, -1]) / 2
    t = np.linspace(0, 1, losses.shape[1])
    line = (1 - t) * losses[:, :1] + t * losses[:, -1:]
    return (losses - line).max(axis=1)
