r"""Noise of several channels: a deviation for each, and correlations between them.

The observations are entries at times, and the entries are groups of channels, such as the
components of a displacement at each sensor. With C the covariance between the channels,

.. math:: \Gamma = I \otimes C \otimes K, \qquad K_{ij} = e^{-|t_i - t_j| / \ell}
    \ \text{or}\ \delta_{ij},

so that groups are independent, and times are independent or correlated at any distance
(Ornstein-Uhlenbeck noise). The times need not be regular.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from popinv.population.noise.autoregressive.noise import kronecker
from popinv.population.noise.base import STEP_SCALE, NoiseModel, NoiseValues
from popinv.population.noise.full.noise import FullNoise


class ChannelNoise(NoiseModel):
    """Independent groups of correlated channels, at times that may be correlated.

    gamma holds that of :class:`~popinv.population.noise.full.noise.FullNoise` over the channels,
    then log l if times are correlated.

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
        self.groups, self.channels = groups, FullNoise(channels, 0.0)
        self.d_y = groups * channels * len(times)
        apart = np.abs(np.subtract.outer(times, times))
        self._apart = torch.from_numpy(apart) if correlated_times else None
        self._times, self._of_channels = len(times), len(self.channels.names)
        self.names = (*self.channels.names, *["length"] * correlated_times)

    @property
    def correlations(self) -> np.ndarray:
        """Those between channels; a length is positive."""
        own = self.channels.correlations
        return np.concatenate([own, np.zeros(len(self.names) - len(own), dtype=bool)])

    @property
    def scale(self) -> np.ndarray:
        """Natural size of a change, of the channels and of the length."""
        own = self.channels.scale
        return np.concatenate([own, np.full(len(self.names) - len(own), STEP_SCALE)])

    def covariance(self, gamma: torch.Tensor) -> torch.Tensor:
        """Return I (x) C (x) K."""
        across = self.channels.covariance(gamma[: self._of_channels])
        return self._whole(across, self._in_time(gamma))

    def cholesky(self, gamma: torch.Tensor) -> torch.Tensor:
        """Return the Kronecker product of the factors."""
        across = self.channels.cholesky(gamma[: self._of_channels])
        return self._whole(across, torch.linalg.cholesky(self._in_time(gamma)))

    def sample(self, gamma: torch.Tensor, e: torch.Tensor) -> torch.Tensor:
        """Map standard normal e (n, d_y) to noise (n, d_y): factor by factor."""
        in_blocks = e.reshape(-1, self.channels.d_y, self._times)
        across = self.channels.cholesky(gamma[: self._of_channels])
        in_time = torch.linalg.cholesky(self._in_time(gamma))
        return (across @ in_blocks @ in_time.T).reshape(e.shape)

    def to_natural(self, gamma: np.ndarray) -> np.ndarray:
        """Return the natural values for unconstrained gamma of shape (..., n)."""
        gamma = np.asarray(gamma, dtype=float)
        across = self.channels.to_natural(gamma[..., : self._of_channels])
        return np.concatenate([across, np.exp(gamma[..., self._of_channels :])], axis=-1)

    def from_natural(self, values: NoiseValues) -> np.ndarray:
        """Return unconstrained gamma for named values.

        Raises
        ------
        ValueError
            If names or values do not fit, or the correlations are not those of any noise.
        """
        natural = dict(zip(self.names, self._natural(values), strict=True))
        across = self.channels.from_natural({n: natural[n] for n in self.channels.names})
        return np.concatenate([across, np.log([natural[n] for n in self.names if n == "length"])])

    def _in_time(self, gamma: torch.Tensor) -> torch.Tensor:
        if self._apart is None:
            return torch.eye(self._times, dtype=gamma.dtype)
        return torch.exp(-self._apart * torch.exp(-gamma[-1]))

    def _whole(self, across: torch.Tensor, in_time: torch.Tensor) -> torch.Tensor:
        eye = torch.eye(self.groups, dtype=across.dtype)
        return kronecker(eye, kronecker(across, in_time))

    def _expand(self, values: NoiseValues) -> Mapping[str, Any]:
        length = {key: value for key, value in values.items() if key == "length"}
        rest = {key: value for key, value in values.items() if key != "length"}
        return {**self.channels._expand(rest), **length}
