"""Noise that is independent between observations, with a standard deviation for each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from popinv.population.noise.base import NoiseModel, NoiseValues, one_or_each


class DiagonalNoise(NoiseModel):
    """Gamma = diag(sigma_1**2, ..., sigma_d**2): every sensor has its own noise.

    Parameters
    ----------
    d_y : int
        Number of observations per system.
    """

    def __init__(self, d_y: int) -> None:
        self.d_y = d_y
        self.names = tuple(f"standard_deviation_{i + 1}" for i in range(d_y))

    def covariance(self, gamma: torch.Tensor) -> torch.Tensor:
        """Return the diagonal matrix for gamma = (log sigma_1, ..., log sigma_d)."""
        return torch.diag(torch.exp(2 * gamma))

    def cholesky(self, gamma: torch.Tensor) -> torch.Tensor:
        """Return the diagonal matrix of standard deviations."""
        return torch.diag(torch.exp(gamma))

    def sample(self, gamma: torch.Tensor, e: torch.Tensor) -> torch.Tensor:
        """Map standard normal e (n, d_y) to noise (n, d_y): xi_i = sigma_i e_i."""
        return torch.exp(gamma) * e

    def _expand(self, values: NoiseValues) -> Mapping[str, Any]:
        # One number for all sensors, or one per sensor, under the name of the family's parameter.
        if set(values) != {"standard_deviation"}:
            return values
        return one_or_each(values["standard_deviation"], self.names)
