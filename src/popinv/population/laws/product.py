"""Two independent groups of parameters, each with its own law."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from popinv.population.laws.base import Law


class ProductLaw(Law):
    """Two independent groups of parameters, ``z = (z_first, z_second)``.

    alpha, omega and z are those of the first law followed by those of the second.
    """

    def __init__(self, first: Law, second: Law) -> None:
        self._first, self._second = first, second
        self.names = first.names + second.names
        self.positive = first.positive + second.positive
        self.d_omega = first.d_omega + second.d_omega
        self.d_z = first.d_z + second.d_z
        self.affine = first.affine and second.affine

    @property
    def logarithmic(self) -> tuple[bool, ...]:
        """The flags of the two laws, joined."""
        return self._first.logarithmic + self._second.logarithmic

    @property
    def medians(self) -> Mapping[int, int]:
        """Those of the two laws, joined."""
        split, cut = len(self._first.names), self._first.d_z
        second = {split + entry: cut + i for entry, i in self._second.medians.items()}
        return {**self._first.medians, **second}

    @property
    def varying(self) -> np.ndarray:
        """The masks of the two laws, joined."""
        return np.concatenate([self._first.varying, self._second.varying])

    @property
    def has_density(self) -> bool:
        """Whether both laws have a density."""
        return self._first.has_density and self._second.has_density

    def sample(self, alpha: torch.Tensor, omega: torch.Tensor) -> torch.Tensor:
        """Map omega (n, d_omega) to z (n, d_z)."""
        split = len(self._first.names)
        return torch.cat(
            [
                self._first.sample(alpha[..., :split], omega[:, : self._first.d_omega]),
                self._second.sample(alpha[..., split:], omega[:, self._first.d_omega :]),
            ],
            dim=1,
        )

    def log_density(self, alpha: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        """Return the sum of both log densities, for each row of z (n, d_z)."""
        split, cut = len(self._first.names), self._first.d_z
        return self._first.log_density(alpha[..., :split], z[:, :cut]) + self._second.log_density(
            alpha[..., split:], z[:, cut:]
        )

    def unbounded(self, z: torch.Tensor) -> torch.Tensor:
        """Return both groups in unbounded coordinates."""
        cut = self._first.d_z
        return torch.cat([self._first.unbounded(z[:, :cut]), self._second.unbounded(z[:, cut:])], 1)

    def bounded(self, x: torch.Tensor) -> torch.Tensor:
        """Undo :meth:`unbounded`."""
        cut = self._first.d_z
        return torch.cat([self._first.bounded(x[:, :cut]), self._second.bounded(x[:, cut:])], 1)

    def most_likely(self, z: np.ndarray, start: np.ndarray) -> np.ndarray:
        """Return the maximum likelihood alpha of both groups, which are independent."""
        split, cut = len(self._first.names), self._first.d_z
        return np.concatenate(
            [
                self._first.most_likely(z[:, :cut], start[:split]),
                self._second.most_likely(z[:, cut:], start[split:]),
            ]
        )
