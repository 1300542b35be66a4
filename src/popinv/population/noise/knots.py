r"""A function of the place, known at knots, at sensors that each system has at places of its own.

The values between the K knots :math:`X_k` are those of the cubic spline through the knots,

.. math:: b(x) = \sum_k w_k(x)\, b(X_k) ,

which is linear in b and does not depend on hyperparameters. Of a Gaussian process with the kernel
Matern 5/2 of length :math:`\ell` and amplitude A, the spline misses at most 0.05 A between knots
that are :math:`\ell / 3` apart (standard deviation), 0.006 A at :math:`\ell / 7`, and 0.001 A at
:math:`\ell / 14`. The conditional mean given the knots misses 0.04 A, 0.005 A and 0.0009 A, so that
the spline loses little. Shorter lengths are not admitted (:attr:`SensorKnots.shortest`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import CubicSpline

from popinv.late import torch

KNOTS = 30
"""Number of knots on the interval of the sensors."""
# The shortest length of a kernel, in distances between knots.
_SHORTEST = 3.0


@dataclass(frozen=True)
class SensorKnots:
    """The places of the sensors of each system among its covariates, and the knots.

    Attributes
    ----------
    first, count : int
        The covariates ``first`` to ``first + count - 1`` of a system are the places of its sensors.
    low, high : float
        Ends of the interval on which the sensors are.
    """

    first: int
    count: int
    low: float = 0.0
    high: float = 1.0

    @property
    def knots(self) -> np.ndarray:
        """The knots (K,), equally spaced."""
        return np.linspace(self.low, self.high, KNOTS)

    @property
    def shortest(self) -> float:
        """The shortest length of a kernel that the knots resolve."""
        return _SHORTEST * (self.high - self.low) / (KNOTS - 1)

    def weights(self, covariates: torch.Tensor, own_places: int = 0) -> torch.Tensor:
        """Return w_k(x) at the sensors of systems, shape (n, m, K).

        Parameters
        ----------
        covariates : Tensor of shape (n, at least first + count)
        own_places : int
            Number of the sensors that each system uses, if not all: the last covariates are their
            indices (:mod:`popinv.population.places`).

        Raises
        ------
        ValueError
            If a sensor is outside the interval.
        """
        x = covariates[:, self.first : self.first + self.count].detach()
        if own_places:
            x = x.gather(1, covariates[:, -own_places:].long())
        at = x.to(torch.float64).numpy()
        if at.size and not (self.low <= at.min() and at.max() <= self.high):
            raise ValueError(
                f"sensors are at {at.min():g} to {at.max():g}, outside the interval "
                f"[{self.low:g}, {self.high:g}] of the discrepancy"
            )
        spline = CubicSpline(self.knots, np.eye(KNOTS))
        return torch.from_numpy(spline(at))
