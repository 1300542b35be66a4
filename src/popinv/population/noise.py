r"""Models of the observation noise, xi ~ N(0, Gamma(gamma)).

gamma is unconstrained and Gamma(gamma) positive definite by construction. ``Gamma = L L^T`` with
L lower triangular; any other square root differs by a rotation, to which the sliced Wasserstein
distance is blind.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

__all__ = ["KERNELS", "DiagonalNoise", "IsotropicNoise", "KernelNoise", "NoiseModel"]


class NoiseModel(ABC):
    """A family of covariances of shape (d_y, d_y).

    Attributes
    ----------
    names : tuple of str
        The entries of gamma as the user reads them, all positive (gamma holds their logarithms).
    d_y : int
        Number of observations per system.
    """

    names: tuple[str, ...]
    d_y: int

    @abstractmethod
    def covariance(self, gamma: torch.Tensor) -> torch.Tensor:
        """Return Gamma, shape (d_y, d_y)."""

    def cholesky(self, gamma: torch.Tensor) -> torch.Tensor:
        """Return the lower triangular L with Gamma = L L^T."""
        return torch.linalg.cholesky(self.covariance(gamma))

    def sample(self, gamma: torch.Tensor, e: torch.Tensor) -> torch.Tensor:
        """Map standard normal e (n, d_y) to noise (n, d_y): xi = L e."""
        return e @ self.cholesky(gamma).T

    def whiten(self, gamma: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Return L^{-1} x for each row of x (n, d_y)."""
        return torch.linalg.solve_triangular(self.cholesky(gamma), x.T, upper=False).T

    def to_natural(self, gamma: np.ndarray) -> np.ndarray:
        """Return the positive values people read, for unconstrained gamma."""
        return np.exp(gamma)

    def from_natural(self, values: Mapping[str, Any]) -> np.ndarray:
        """Return unconstrained gamma for named positive values.

        Raises
        ------
        ValueError
            If names do not fit, or a value is not positive.
        """
        values = self._expand(values)
        if set(values) != set(self.names):
            raise ValueError(f"expected the names {self.names}, got {tuple(values)}")
        natural = np.array([float(values[name]) for name in self.names])
        if np.any(natural <= 0):
            raise ValueError("the noise needs positive values")
        return np.log(natural)

    def _expand(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        return values


class IsotropicNoise(NoiseModel):
    """Gamma = sigma**2 I."""

    names = ("standard_deviation",)

    def __init__(self, d_y: int) -> None:
        self.d_y = d_y

    def covariance(self, gamma: torch.Tensor) -> torch.Tensor:
        """Return sigma**2 I for gamma = (log sigma,)."""
        return torch.exp(2 * gamma[0]) * torch.eye(self.d_y, dtype=gamma.dtype)


class DiagonalNoise(NoiseModel):
    """Gamma = diag(sigma_1**2, ..., sigma_d**2): every sensor has its own noise."""

    def __init__(self, d_y: int) -> None:
        self.d_y = d_y
        self.names = tuple(f"standard_deviation_{i + 1}" for i in range(d_y))

    def covariance(self, gamma: torch.Tensor) -> torch.Tensor:
        """Return the diagonal matrix for gamma = (log sigma_1, ..., log sigma_d)."""
        return torch.diag(torch.exp(2 * gamma))

    def _expand(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        # One number for all sensors, or one per sensor, under the name of the family's parameter.
        if set(values) != {"standard_deviation"}:
            return values
        each = np.broadcast_to(np.asarray(values["standard_deviation"], dtype=float), self.d_y)
        return dict(zip(self.names, each.tolist(), strict=True))


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
        Whether tau is there.
    """

    # Smooth kernels are singular to machine precision between close sensors. This share of the
    # variance is far below what any sample can show and keeps the Cholesky factor real.
    jitter = 1e-8

    def __init__(self, coordinates: np.ndarray, kernel: str, nugget: bool = False) -> None:
        if kernel not in KERNELS:
            raise ValueError(f"kernel '{kernel}' is not one of {tuple(KERNELS)}")
        places = torch.as_tensor(np.asarray(coordinates), dtype=torch.float64)
        self._distance = torch.cdist(places, places, compute_mode="donot_use_mm_for_euclid_dist")
        self._kernel = KERNELS[kernel]
        self._nugget = nugget
        self.d_y = len(places)
        self.names = ("amplitude", "length", *(["nugget"] if nugget else []))

    def covariance(self, gamma: torch.Tensor) -> torch.Tensor:
        """Return Gamma for gamma = (log sigma, log length, [log tau])."""
        eye = torch.eye(self.d_y, dtype=gamma.dtype)
        correlation = self._kernel(self._distance * torch.exp(-gamma[1]))
        matrix = torch.exp(2 * gamma[0]) * (correlation + self.jitter * eye)
        if self._nugget:
            matrix = matrix + torch.exp(2 * gamma[2]) * eye
        return matrix
