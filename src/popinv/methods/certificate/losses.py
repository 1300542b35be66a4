r"""Convex losses of linear models, and their constants for the guarantee.

A record is a feature x and k targets y. With parameters w of shape (d, k) its loss is

.. math:: f(w) = \sum_{j=1}^k \ell(x \cdot w_j; y_j) + \frac{m}{2} |w|^2.

Gradients of the data's part have a length of at most ``steepness`` |x| sqrt(k). The difference of
the gradients of two records contains only these. f is L-smooth with L = ``curvature`` |x|^2 + m.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.special import expit

from popinv.errors import ConfigError
from popinv.methods.certificate.accountant import Setting


class Loss(Protocol):
    """The loss of one output."""

    @property
    def curvature(self) -> float:
        """The largest second derivative."""

    @property
    def steepness(self) -> float:
        """The largest size of the first derivative."""

    def slope(self, z: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return the first derivative in z."""


@dataclass(frozen=True)
class Logistic:
    """log(1 + exp(-y z)), with y = 1 or -1."""

    curvature: float = 0.25
    steepness: float = 1.0

    def slope(self, z: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return -y/(1 + exp(y z))."""
        return -y * expit(-y * z)


@dataclass(frozen=True)
class Linear:
    """-y z, with which the regulariser's minimum is the mean of y; ``longest`` bounds |y|."""

    longest: float = 1.0
    curvature: float = 0.0

    @property
    def steepness(self) -> float:
        """The bound on y."""
        return self.longest

    def slope(self, z: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return -y, in the shape of z."""
        return np.broadcast_to(-y, z.shape)


@dataclass(frozen=True)
class Quadratic:
    """(z - y)^2/2, whose unbounded slope no guarantee covers; used for exact laws."""

    curvature: float = 1.0
    steepness: float = math.inf

    def slope(self, z: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return z - y."""
        return z - y


def setting_of(
    loss: Loss,
    features: np.ndarray,
    outputs: int,
    strong: float,
    batch: int,
    *,
    bound: float = 1.0,
    radius: float = math.inf,
    emptied: bool = False,
) -> Setting:
    """Return the constants for learning with the rate 1/L.

    Parameters
    ----------
    loss : Loss
    features : ndarray of shape (n, d)
        No longer than ``bound``, which also bounds the features of later records.
    outputs : int
        k.
    strong : float
        m, the weight of the regulariser.

    Raises
    ------
    ConfigError
        If a feature is longer than the bound, or the loss has no bound on its slope.
    """
    longest = float(np.sqrt((features**2).sum(axis=1).max()))
    if not longest <= bound * (1 + max(1e-9, 8 * np.finfo(features.dtype).eps)):
        raise ConfigError(
            f"a record has a feature of length {longest:g}, but the guarantee is for at most "
            f"{bound:g}: scale the features"
        )
    smooth = loss.curvature * bound**2 + strong
    lipschitz = loss.steepness * bound * math.sqrt(outputs)
    return Setting(
        len(features), batch, 1 / smooth, strong, smooth, lipschitz, radius, emptied=emptied
    )
