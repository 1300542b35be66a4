"""Independent lognormal parameters."""

from __future__ import annotations

import numpy as np
import torch

from popinv.population.laws.normal.law import NormalLaw

__all__ = ["LognormalLaw"]


class LognormalLaw(NormalLaw):
    """Independent lognormal parameters, ``log z_i = m_i + s_i omega_i``.

    The mean and the standard deviation are those of log z.
    """

    affine = False

    @property
    def logarithmic(self) -> tuple[bool, ...]:
        """True throughout."""
        return (True,) * self.d_z

    def sample(self, alpha: torch.Tensor, omega: torch.Tensor) -> torch.Tensor:
        """Map omega (n, d_z) to positive z (n, d_z)."""
        return torch.exp(super().sample(alpha, omega))

    def log_density(self, alpha: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        """Return the normal log density of log z, less the sum of log z, for each row of z."""
        logs = self.unbounded(z)
        return super().log_density(alpha, logs) - logs.sum(dim=-1)

    def unbounded(self, z: torch.Tensor) -> torch.Tensor:
        """Return log z."""
        return torch.log(z)

    def bounded(self, x: torch.Tensor) -> torch.Tensor:
        """Return exp x."""
        return torch.exp(x)

    def most_likely(self, z: np.ndarray, start: np.ndarray) -> np.ndarray:
        """Return the means and the logarithms of the standard deviations of log z (n, d_z)."""
        return super().most_likely(np.log(z), start)
