"""Noise that is correlated from sensor to sensor by a stationary kernel."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import numpy as np

from popinv.late import torch
from popinv.population.noise.base import NoiseModel


def _exponential(r: torch.Tensor) -> torch.Tensor:
    return torch.exp(-r)


def _matern32(r: torch.Tensor) -> torch.Tensor:
    r = np.sqrt(3.0) * r
    return (1 + r) * torch.exp(-r)


def _matern52(r: torch.Tensor) -> torch.Tensor:
    r = np.sqrt(5.0) * r
    return (1 + r + r**2 / 3) * torch.exp(-r)


def _squared_exponential(r: torch.Tensor) -> torch.Tensor:
    return torch.exp(-(r**2) / 2)


KERNELS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "exponential": _exponential,
    "matern32": _matern32,
    "matern52": _matern52,
    "squared_exponential": _squared_exponential,
}


class KernelNoise(NoiseModel):
    r"""Stationary noise over the sensors' places, with an optional uncorrelated part.

    .. math:: \Gamma_{ij} = \sigma^2 k(|x_i - x_j| / \ell) + \tau^2 \delta_{ij}

    gamma = (log amplitude sigma, log length, [log nugget tau]).

    Parameters
    ----------
    coordinates : ndarray of shape (d_y, k)
        Places of the sensors.
    kernel : str
        One of :data:`KERNELS`.
    nugget : bool
        True if the noise has tau.
    """

    # Smooth kernels are singular to machine precision between close sensors. This share of the
    # variance is far below what any sample can show and keeps the Cholesky factor real.
    jitter = 1e-8
    by_distance = True

    def __init__(self, coordinates: np.ndarray, kernel: str, nugget: bool) -> None:
        if kernel not in KERNELS:
            raise ValueError(f"kernel '{kernel}' is not one of {tuple(KERNELS)}")
        self._places = np.asarray(coordinates, dtype=float)
        self._kernel = KERNELS[kernel]
        self._nugget = nugget
        self.d_y = len(self._places)
        self.names = ("amplitude", "length", *["nugget"] * nugget)

    @cached_property
    def _distance(self) -> torch.Tensor:
        places = torch.from_numpy(self._places)
        return torch.cdist(places, places, compute_mode="donot_use_mm_for_euclid_dist")

    def covariance(self, gamma: torch.Tensor) -> torch.Tensor:
        """Return Gamma for gamma = (log sigma, log length, [log tau])."""
        eye = torch.eye(self.d_y, dtype=gamma.dtype)
        correlation = self._kernel(self._distance * torch.exp(-gamma[1]))
        matrix = torch.exp(2 * gamma[0]) * (correlation + self.jitter * eye)
        if self._nugget:
            matrix = matrix + torch.exp(2 * gamma[2]) * eye
        return matrix
