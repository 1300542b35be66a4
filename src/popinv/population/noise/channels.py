r"""Noise of several channels: a deviation for each, and correlations between them.

The observations are entries at times, and the entries are groups of channels, such as the
components of a displacement at each sensor. With C the covariance between the channels,

.. math:: \Gamma = I \otimes C \otimes K, \qquad K_{ij} = e^{-|t_i - t_j| / \ell}
    \ \text{or}\ \delta_{ij},

so that groups are independent, and times are independent or correlated at any distance
(Ornstein-Uhlenbeck noise). The times need not be regular.
"""

from __future__ import annotations

import numpy as np

from popinv.late import torch
from popinv.population.constraints import POSITIVE
from popinv.population.noise.base import kronecker
from popinv.population.noise.composed import WrappedNoise
from popinv.population.noise.unstructured import FullNoise


class ChannelNoise(WrappedNoise):
    """Independent groups of correlated channels, at times that may be correlated.

    gamma holds the gamma of :class:`~popinv.population.noise.unstructured.FullNoise` over the
    channels, then log l if times are correlated.

    Parameters
    ----------
    groups, channels : int
        Entries are group-major, the channels of a group follow each other.
    times : ndarray of shape (n_t,)
        They run fastest in the observations; one time if there are none.
    correlated_times : bool
        Whether K has a length.
    """

    def __init__(
        self, groups: int, channels: int, times: np.ndarray, correlated_times: bool
    ) -> None:
        across = FullNoise(channels, 0.0)
        super().__init__(across, {"length": POSITIVE} if correlated_times else {})
        self.groups, self.channels = groups, across
        self.d_y = groups * channels * len(times)
        apart = np.abs(np.subtract.outer(times, times))
        self._apart = torch.from_numpy(apart) if correlated_times else None
        self._times = len(times)

    def covariance(self, gamma: torch.Tensor) -> torch.Tensor:
        """Return I (x) C (x) K."""
        across = self.channels.covariance(self.within(gamma))
        return self._whole(across, self._in_time(gamma))

    def cholesky(self, gamma: torch.Tensor) -> torch.Tensor:
        """Return the Kronecker product of the factors."""
        across = self.channels.cholesky(self.within(gamma))
        return self._whole(across, torch.linalg.cholesky(self._in_time(gamma)))

    def sample(self, gamma: torch.Tensor, e: torch.Tensor) -> torch.Tensor:
        """Map standard normal e (n, d_y) to noise (n, d_y): factor by factor."""
        in_blocks = e.reshape(-1, self.channels.d_y, self._times)
        across = self.channels.cholesky(self.within(gamma))
        in_time = torch.linalg.cholesky(self._in_time(gamma))
        return (across @ in_blocks @ in_time.T).reshape(e.shape)

    def _in_time(self, gamma: torch.Tensor) -> torch.Tensor:
        if self._apart is None:
            return torch.eye(self._times, dtype=gamma.dtype)
        return torch.exp(-self._apart * torch.exp(-self.added(gamma)[0]))

    def _whole(self, across: torch.Tensor, in_time: torch.Tensor) -> torch.Tensor:
        eye = torch.eye(self.groups, dtype=across.dtype)
        return kronecker(eye, kronecker(across, in_time))
