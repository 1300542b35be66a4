r"""Targets with which an objective compares the particles.

A :class:`LogDensity` represents KL(q \| p). Its score is grad log p, and the normalising constant
of the density does not matter. :class:`Samples` represents half the squared maximum mean
discrepancy to a law that is known by samples only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from scipy.special import logsumexp

from popinv_papers.mwgrad.kernels import radial_kernel


@runtime_checkable
class LogDensity(Protocol):
    """A density that can be evaluated and differentiated."""

    def log_density(self, x: np.ndarray) -> np.ndarray:
        """Return log p(x_i) up to a constant, shape (n,)."""
        ...

    def score(self, x: np.ndarray) -> np.ndarray:
        """Return grad log p(x_i), shape (n, d)."""
        ...


@dataclass(frozen=True)
class NormalMixture:
    """A mixture of normal laws with one isotropic covariance.

    Parameters
    ----------
    weights : ndarray of shape (c,)
    means : ndarray of shape (c, d)
    """

    weights: np.ndarray
    means: np.ndarray
    variance: float

    def _terms(self, x: np.ndarray) -> np.ndarray:
        square = ((x[:, None] - self.means) ** 2).sum(axis=2)
        normaliser = 0.5 * x.shape[1] * np.log(2 * np.pi * self.variance)
        return np.log(self.weights) - square / (2 * self.variance) - normaliser

    def log_density(self, x: np.ndarray) -> np.ndarray:
        """Return log p(x_i), shape (n,)."""
        return logsumexp(self._terms(x), axis=1)

    def score(self, x: np.ndarray) -> np.ndarray:
        """Return grad log p(x_i), shape (n, d)."""
        terms = self._terms(x)
        shares = np.exp(terms - logsumexp(terms, axis=1, keepdims=True))
        return (shares @ self.means - x) / self.variance


@dataclass(frozen=True)
class Differentiable:
    """Any log-density that torch can differentiate.

    Parameters
    ----------
    function : callable
        Maps a double tensor (n, d) to (n,).
    """

    function: Callable[[torch.Tensor], torch.Tensor]

    def log_density(self, x: np.ndarray) -> np.ndarray:
        """Return log p(x_i), shape (n,)."""
        with torch.no_grad():
            return self.function(torch.from_numpy(np.ascontiguousarray(x))).numpy()

    def score(self, x: np.ndarray) -> np.ndarray:
        """Return grad log p(x_i), shape (n, d)."""
        points = torch.from_numpy(np.array(x)).requires_grad_(True)
        (gradient,) = torch.autograd.grad(self.function(points).sum(), points)
        return gradient.numpy()


@dataclass(frozen=True)
class Samples:
    """A law known by samples.

    Parameters
    ----------
    points : ndarray of shape (m, d)
    bandwidth : float
        Bandwidth of the discrepancy's kernel.
    """

    points: np.ndarray
    bandwidth: float

    def velocity(self, x: np.ndarray) -> np.ndarray:
        r"""Return E_p grad_1 K(x_i, Y) - E_q grad_1 K(x_i, X), shape (n, d).

        This is minus the Wasserstein gradient of MMD^2(q, p) / 2.
        """
        attraction = radial_kernel(x, self.points, self.bandwidth).gradient.mean(axis=1)
        return attraction - radial_kernel(x, x, self.bandwidth).gradient.mean(axis=1)

    def discrepancy(self, x: np.ndarray) -> float:
        """Return MMD^2(q, p) / 2, with all pairs counted."""
        within, across, target = (
            radial_kernel(a, b, self.bandwidth).values.mean()
            for a, b in ((x, x), (x, self.points), (self.points, self.points))
        )
        return float(within - 2 * across + target) / 2
