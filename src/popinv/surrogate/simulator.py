"""The interfaces of every simulator in a fit, and of a surrogate that states its own error."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np

from popinv.late import torch


class TrainedSurrogate(Protocol):
    """A differentiable map from inputs (n, d_z) to observations (n, d_y)."""

    @property
    def hyperparameters(self) -> Mapping[str, Any]:
        """Plain values, with the key ``kind``."""
        ...

    def __call__(self, z: torch.Tensor) -> torch.Tensor:
        """Map inputs to observations."""
        ...

    def linearise(
        self, z: torch.Tensor, tangents: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the observations, and their derivatives along tangents (k, n, d_z)."""
        ...

    def predict(self, z: np.ndarray) -> np.ndarray:
        """Map an array of inputs to observations, without gradients."""
        ...

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return everything but the hyperparameters."""
        ...


@runtime_checkable
class UncertainSurrogate(Protocol):
    """A surrogate with a posterior law of future solves."""

    @property
    def components(self) -> int:
        """Number q of independent components of an observation."""
        ...

    def predict(self, z: np.ndarray) -> np.ndarray:
        """Return the posterior mean (n, d_y) of solves at z (n, d_z)."""
        ...

    def deviation(self, z: np.ndarray) -> np.ndarray:
        """Return the predictive standard deviation (n, d_y) of solves at z (n, d_z)."""
        ...

    def conditioned(self, z: np.ndarray, y: np.ndarray) -> Self:
        """Return the surrogate that also knows solves y (n, d_y) at z (n, d_z)."""
        ...

    def draws(self, z: np.ndarray, normal: np.ndarray, inflation: float = 1.0) -> np.ndarray:
        """Return joint draws (k, n, d_y) of solves at z, for standard normal (k, q, n)."""
        ...


def is_exact(simulate: Any) -> bool:
    """Return whether a simulator is the forward model itself, so that it has no error to correct.

    See :class:`popinv.surrogate.exact.ExactSimulator`.
    """
    return bool(getattr(simulate, "exact", False))
