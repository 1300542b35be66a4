r"""How high the loss rises on the straight line between two sets of weights.

.. math:: B(\theta_0, \theta_1; S) = \max_{0 \le t \le 1} L_S((1 - t) \theta_0 + t \theta_1)
    - [(1 - t) L_S(\theta_0) + t L_S(\theta_1)]

This is the usual definition; the paper's could not be read. It is not negative, as t = 0 counts.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch

from popinv.downstream.instance_unlearning.networks import Network, Weights
from popinv.downstream.instance_unlearning.training import Data

__all__ = ["loss_barrier", "losses_along"]


def losses_along(
    network: Network, start: Weights, end: Weights, data: Data, places: int = 21
) -> np.ndarray:
    """Return the mean loss at equal places on the line, shape (models, places).

    Parameters
    ----------
    network : Network
    start, end : dict
        Weights of two stacks of as many models.
    data : Data
        S.
    places : int
        Both ends included.
    """
    found = []
    of_stack = torch.func.vmap(lambda one: network.losses(one, data.images, data.labels).mean())
    with torch.no_grad():
        for t in np.linspace(0, 1, places):
            between = {name: torch.lerp(start[name], end[name], float(t)) for name in start}
            found.append(of_stack(between).numpy())
    return np.array(found, dtype=float).T


def loss_barrier(losses: np.ndarray, against: Literal["line", "mean"] = "line") -> np.ndarray:
    """Return the barrier of each row of losses at equal places, shape (models,).

    Parameters
    ----------
    losses : ndarray of shape (models, places)
    against : {"line", "mean"}
        What the largest loss is compared with: the line between the two ends' losses, or their
        mean (Frankle, Dziugaite, Roy and Carbin, ICML 2020), which counts half of the ends'
        difference even where nothing stands between them.
    """
    if against == "mean":
        return losses.max(axis=1) - (losses[:, 0] + losses[:, -1]) / 2
    t = np.linspace(0, 1, losses.shape[1])
    line = (1 - t) * losses[:, :1] + t * losses[:, -1:]
    return (losses - line).max(axis=1)
