"""A function of ``times`` that is asked for the observations of each system at its own times."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

__all__ = ["AtOwnTimes"]

# The most times at which several systems with other times are asked for in one call.
_MOST_TIMES = 300


@dataclass(frozen=True)
class AtOwnTimes:
    """The observations of each row of inputs at some of all times.

    A function that takes ``times`` of shape (n, m) is asked for n systems in one call, each at its
    own times. Another takes ``times`` of shape (k,): it is asked for rows whose times together are
    at most 300, at all of these, or for one row at its own.

    Parameters
    ----------
    function : callable
        Maps inputs, a Tensor (n, d_z), and ``times`` to observations (n, entries k), where the
        times of the first entry come first.
    times : sequence of float
        All T times of any system.
    of_each_row : bool
        Whether the function takes times of shape (n, m).
    """

    function: Callable[..., torch.Tensor]
    times: Sequence[float]
    of_each_row: bool

    def __call__(self, z: torch.Tensor, places: np.ndarray) -> torch.Tensor:
        """Return the observations (n, m) at these places (n, m) among the entries at all times."""
        entry, index = np.divmod(places, len(self.times))
        times = np.asarray(self.times, float)
        if self.of_each_row:
            y = self.function(z, times=times[index])
            own = entry * places.shape[1] + np.arange(places.shape[1])
            return y.gather(1, torch.from_numpy(own))
        asked, at = np.unique(index, return_inverse=True)
        if len(z) > 1 and len(asked) > _MOST_TIMES:
            half = len(z) // 2
            return torch.cat(
                [self(z[rows], places[rows]) for rows in (slice(half), slice(half, None))]
            )
        y = self.function(z, times=times[asked])
        own = entry * len(asked) + at.reshape(index.shape)
        return y.gather(1, torch.from_numpy(own))
