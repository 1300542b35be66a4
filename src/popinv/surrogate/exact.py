"""A forward model that is differentiable and quick, and so needs no surrogate."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from popinv.forward.python.autograd import changes_along

__all__ = ["ExactSimulator"]

# Rows of a call. Arrays of more leave the caches, and their memory is fetched from the system anew:
# with 16,000 rows a function takes several times as long.
_ROWS = 4000


class ExactSimulator:
    """The forward model itself in the place of a surrogate.

    Parameters
    ----------
    simulate : callable
        Maps inputs, a Tensor (n, d_z) of float64, to observations (n, d_y), each row by itself.
        Torch differentiates it.
    at : callable, optional
        Maps inputs (n, d_z), and the entries (n, m) that are asked for, to these m observations of
        each row. By default all are computed.

    Attributes
    ----------
    exact : bool
        True. What corrects for the error of a surrogate then has nothing to do.

    Examples
    --------
    >>> twice = ExactSimulator(lambda z: 2 * z)
    >>> twice.predict(np.array([[1.0], [3.0]])).tolist()
    [[2.0], [6.0]]
    """

    exact = True

    def __init__(
        self,
        simulate: Callable[[torch.Tensor], torch.Tensor],
        at: Callable[[torch.Tensor, np.ndarray], torch.Tensor] | None = None,
    ) -> None:
        self._simulate, self._at = _in_blocks(simulate), at

    @property
    def hyperparameters(self) -> Mapping[str, Any]:
        """The key ``kind`` alone."""
        return {"kind": "exact"}

    def __call__(self, z: torch.Tensor) -> torch.Tensor:
        """Map inputs to observations."""
        return self._simulate(z)

    def linearise(
        self, z: torch.Tensor, tangents: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the observations, and their derivatives along tangents (k, n, d_z)."""
        return changes_along(self._simulate, z.detach(), tangents.detach())

    def of_outputs(self, entries: np.ndarray) -> ExactSimulator:
        """Return the simulator of some of the observations alone."""
        index = torch.from_numpy(entries)
        return ExactSimulator(lambda z: self._simulate(z)[:, index])

    def at_places(self, count: int) -> ExactSimulator:
        """Return the simulator of ``count`` entries of each row, which follow its inputs."""

        def simulate(z: torch.Tensor) -> torch.Tensor:
            inputs, entries = z[:, :-count], z[:, -count:].long()
            if self._at is None:
                return self._simulate(inputs).gather(1, entries)
            return self._at(inputs, entries.numpy())

        return ExactSimulator(simulate)

    def predict(self, z: np.ndarray) -> np.ndarray:
        """Map an array of inputs to observations, without gradients."""
        with torch.no_grad():
            return self._simulate(torch.from_numpy(z)).numpy()

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return nothing: a function is not stored."""
        return {}


def _in_blocks(
    simulate: Callable[[torch.Tensor], torch.Tensor],
) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return a function of rows that are taken by themselves, called with few at a time."""

    def simulated(z: torch.Tensor) -> torch.Tensor:
        if len(z) <= _ROWS:
            return simulate(z)
        return torch.cat([simulate(rows) for rows in z.split(_ROWS)])

    return simulated
