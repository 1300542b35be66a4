"""Noise that is independent between observations, with one standard deviation for all."""

from __future__ import annotations

import torch

from popinv.population.noise.base import NoiseModel
from popinv.population.noise.section import StandardDeviation


class IsotropicNoise(NoiseModel):
    """Gamma = sigma**2 I.

    Parameters
    ----------
    d_y : int
        Number of observations per system.
    """

    names = tuple(StandardDeviation.model_fields)

    def __init__(self, d_y: int) -> None:
        self.d_y = d_y

    def covariance(self, gamma: torch.Tensor) -> torch.Tensor:
        """Return sigma**2 I for gamma = (log sigma,)."""
        return torch.exp(2 * gamma[0]) * torch.eye(self.d_y, dtype=gamma.dtype)

    def cholesky(self, gamma: torch.Tensor) -> torch.Tensor:
        """Return sigma I."""
        return torch.exp(gamma[0]) * torch.eye(self.d_y, dtype=gamma.dtype)

    def sample(self, gamma: torch.Tensor, e: torch.Tensor) -> torch.Tensor:
        """Map standard normal e (n, d_y) to noise (n, d_y): xi = sigma e."""
        return torch.exp(gamma[0]) * e
