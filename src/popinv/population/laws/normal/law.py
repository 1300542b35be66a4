"""Independent normal parameters."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch

from popinv.population.laws.base import Law
from popinv.population.laws.section import MeanAndStandardDeviation
from popinv.sections.base import positive_keys

__all__ = ["NormalLaw"]


class NormalLaw(Law):
    """Independent normal parameters, ``z_i = m_i + s_i omega_i``.

    alpha holds the means, then the logarithms of the standard deviations.

    Parameters
    ----------
    parameters : sequence of str
        Names of the entries of z.
    """

    affine = True

    def __init__(self, parameters: Sequence[str]) -> None:
        self.d_z = self.d_omega = len(parameters)
        unknowns = positive_keys(MeanAndStandardDeviation)
        self.names = tuple(f"{name}_{key}" for key in unknowns for name in parameters)
        self.positive = tuple(positive for positive in unknowns.values() for _ in parameters)

    def sample(self, alpha: torch.Tensor, omega: torch.Tensor) -> torch.Tensor:
        """Map omega (n, d_z) to z (n, d_z)."""
        return alpha[..., : self.d_z] + torch.exp(alpha[..., self.d_z :]) * omega

    def log_density(self, alpha: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        """Return log p(z | alpha) = sum_i log N(z_i; m_i, s_i**2) for each row of z (n, d_z)."""
        mean, log_deviation = alpha[..., : self.d_z], alpha[..., self.d_z :]
        return _standard_normal_log_density((z - mean) * torch.exp(-log_deviation)) - torch.sum(
            log_deviation, dim=-1
        )

    def most_likely(self, z: np.ndarray, start: np.ndarray) -> np.ndarray:
        """Return the means and the logarithms of the standard deviations of z (n, d_z)."""
        return np.concatenate([z.mean(axis=0), np.log(z.std(axis=0))])


def _standard_normal_log_density(x: torch.Tensor) -> torch.Tensor:
    return -0.5 * (x**2).sum(dim=-1) - 0.5 * x.shape[-1] * math.log(2 * math.pi)
