r"""Softmax regression by noisy descent on all points, whose losses are strongly convex.

.. math:: L(W) = \frac{1}{n} \sum_i \Bigl[\log \sum_c e^{(x_i W)_c} - (x_i W)_{y_i}\Bigr]
    + \frac{m}{2} |W|^2

With features of length 1, the gradient of a point is x (p - y)', of length |p - y| of at most
sqrt(2), and the smoothness is at most m + 1/2. A point that is left out leaves its place empty:
sums are still divided by n. A stack of models with different noise and different points sees the
same features.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from popinv_papers.instance_unlearning.training import Data

LIPSCHITZ = math.sqrt(2)
"""Largest length of a point's gradient."""

_CONSTANT = 0.3


def smoothness(strong: float) -> float:
    """Return L, given m: the covariance of a one-hot label is at most 1/2."""
    return strong + 0.5


def features(data: Data, mean: torch.Tensor) -> torch.Tensor:
    """Return pixels less a mean image, with a constant feature, as rows of length 1.

    Parameters
    ----------
    mean : Tensor of shape (channels, rows, columns)
    """
    pixels = torch.nn.functional.normalize((data.images - mean).flatten(1))
    constant = torch.full((len(data), 1), _CONSTANT)
    return torch.nn.functional.normalize(torch.cat([pixels, constant], dim=1))


@dataclass(frozen=True)
class Regression:
    """A stack of softmax regressions.

    Attributes
    ----------
    rows : Tensor of shape (n, features)
    labels : Tensor of int, shape (n,)
    strong, rate : float
        m and eta.
    sigma : Tensor of shape (models,)
        sigma of each model's noise sqrt(2 eta sigma^2) N(0, I).
    """

    rows: torch.Tensor
    labels: torch.Tensor
    classes: int
    strong: float
    rate: float
    sigma: torch.Tensor

    def initial(self) -> torch.Tensor:
        """Return zero weights, shape (features, models, classes)."""
        return torch.zeros(self.rows.shape[1], len(self.sigma), self.classes)

    def logits(self, weights: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        """Return logits, shape (rows, models, classes)."""
        return (rows @ weights.flatten(1)).unflatten(1, weights.shape[1:])

    def errors(self, weights: torch.Tensor) -> torch.Tensor:
        """Return p - y of every point, shape (n, models, classes)."""
        p = torch.softmax(self.logits(weights, self.rows), dim=2)
        p[torch.arange(len(p)), :, self.labels] -= 1
        return p

    def step(
        self, weights: torch.Tensor, kept: torch.Tensor | None, rng: np.random.Generator
    ) -> torch.Tensor:
        """Take a step of each model.

        Parameters
        ----------
        weights : Tensor of shape (features, models, classes)
        kept : Tensor of shape (n, models), optional
            1 if a model sees a point, else 0; by default all do.
        rng : numpy.random.Generator
            Draws the noise.
        """
        errors = self.errors(weights)
        if kept is not None:
            errors = errors * kept[..., None]
        slope = (self.rows.T @ errors.flatten(1)).reshape(weights.shape) / len(self.rows)
        noise = torch.from_numpy(rng.standard_normal(weights.shape, dtype=np.float32))
        scale = math.sqrt(2 * self.rate) * self.sigma[:, None]
        return weights - self.rate * (slope + self.strong * weights) + scale * noise

    def descend(
        self,
        weights: torch.Tensor,
        steps: int,
        rng: Callable[[int], np.random.Generator],
        kept: torch.Tensor | None = None,
        look: Callable[[int, torch.Tensor], None] | None = None,
    ) -> torch.Tensor:
        """Take some steps; ``look`` sees the weights before the first one and after each."""
        for k in range(steps):
            if look is not None:
                look(k, weights)
            weights = self.step(weights, kept, rng(k))
        if look is not None:
            look(steps, weights)
        return weights
