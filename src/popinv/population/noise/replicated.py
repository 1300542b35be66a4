r"""Noise of several replicates of one system, independent between them and of the same law.

.. math:: \Gamma_R = I_R \otimes \Gamma(\gamma),

with the parameters and names of Gamma. The replicates stand one after the other.
"""

from __future__ import annotations

import numpy as np
import torch

from popinv.population.noise.base import NoiseModel, NoiseValues
from popinv.population.noise.varying import VaryingNoise


class ReplicatedNoise(NoiseModel):
    """I_R (x) Gamma.

    Parameters
    ----------
    single : NoiseModel
        The noise of one replicate.
    count : int
        R, the number of replicates.
    """

    def __init__(self, single: NoiseModel, count: int) -> None:
        self.single, self.count = single, count
        self.names, self.d_y = single.names, count * single.d_y
        self.shrinkage, self.unrestricted = single.shrinkage, single.unrestricted

    @property
    def of_one(self) -> NoiseModel:
        """The noise of one replicate."""
        return self.single

    @property
    def family(self) -> NoiseModel:
        """The noise of one replicate."""
        return self.single

    @property
    def correlations(self) -> np.ndarray:
        """Boolean mask (n,) of one replicate's noise."""
        return self.single.correlations

    @property
    def scale(self) -> np.ndarray:
        """Natural size of a change of each entry of gamma, shape (n,)."""
        return self.single.scale

    def covariance(self, gamma: torch.Tensor) -> torch.Tensor:
        """Return I_R (x) Gamma, shape (R d_y, R d_y)."""
        return self._blocks(self.single.covariance(gamma))

    def cholesky(self, gamma: torch.Tensor) -> torch.Tensor:
        """Return I_R (x) L."""
        return self._blocks(self.single.cholesky(gamma))

    def sample(self, gamma: torch.Tensor, e: torch.Tensor) -> torch.Tensor:
        """Map standard normal e (n, R d_y) to noise (n, R d_y), replicate by replicate."""
        return self.single.sample(gamma, e.reshape(-1, self.single.d_y)).reshape(e.shape)

    def whiten(self, gamma: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Return (I_R (x) L)^{-1} x for each row of x (n, R d_y)."""
        return self.single.whiten(gamma, x.reshape(-1, self.single.d_y)).reshape(x.shape)

    def unbounded(self, natural: np.ndarray) -> np.ndarray:
        """Map natural values to the real line, as one replicate's noise does."""
        return self.single.unbounded(natural)

    def bounded(self, unbounded: np.ndarray) -> np.ndarray:
        """Undo :meth:`unbounded`."""
        return self.single.bounded(unbounded)

    def to_natural(self, gamma: np.ndarray) -> np.ndarray:
        """Return the natural values for unconstrained gamma of shape (..., n)."""
        return self.single.to_natural(gamma)

    def from_natural(self, values: NoiseValues) -> np.ndarray:
        """Return unconstrained gamma for named values, as one replicate's noise does."""
        return self.single.from_natural(values)

    def _blocks(self, matrix: torch.Tensor) -> torch.Tensor:
        return torch.block_diag(*[matrix] * self.count)


def replicated_noise(single: NoiseModel, count: int) -> NoiseModel:
    """Return the noise of so many replicates; that of one is left as it is.

    Noise that varies scales the replicates of its base.
    """
    if count == 1:
        return single
    if isinstance(single, VaryingNoise):
        return single.with_base(ReplicatedNoise(single.base, count))
    return ReplicatedNoise(single, count)
