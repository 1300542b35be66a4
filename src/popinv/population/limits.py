r"""Limits beyond which observations are not resolved: censored below, above or in an interval.

An observation y of a system has up to four limits,

.. math:: a \le l < u \le b,

with a = l = -inf or u = b = inf where there are none. It is censored if it lies in (a, l] or in [u,
b): only the interval is then known. The stored value is

.. math:: T(y) = \begin{cases} l & a < y \le l \\ u & u \le y < b \\ y & \text{otherwise.}
    \end{cases}

l and u are limits of quantification. a and b bound the values beyond, as a concentration is not
negative. An observation between two values a and l is censored with these limits, and stored as l.
This is the convention of the columns CENS and LIMIT of Monolix and NONMEM.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import xarray as xr

from popinv.forward.base import Observations
from popinv.late import torch
from popinv.observation_files.limit_keys import VARIABLES


@dataclass(frozen=True)
class Limits:
    """The limits of n observations of d_y entries.

    Attributes
    ----------
    lower, upper : ndarray of shape (n, d_y)
        l and u; -inf and inf where there is none.
    least, most : ndarray of shape (n, d_y)
        a and b, alike.
    """

    lower: np.ndarray
    upper: np.ndarray
    least: np.ndarray
    most: np.ndarray

    @classmethod
    def of_arrays(cls, shape: tuple[int, ...], **given: np.ndarray | float) -> Limits:
        """Return limits of this shape from arrays that fit it; by default there is none."""
        ends = {"lower": -np.inf, "upper": np.inf, "least": -np.inf, "most": np.inf} | given
        limits = cls(**{name: np.broadcast_to(x, shape).astype(float) for name, x in ends.items()})
        if (limits.lower >= limits.upper).any():
            raise ValueError("a lower limit is not below the upper one")
        return limits

    @classmethod
    def none(cls, shape: tuple[int, ...]) -> Limits:
        """Return the limits of observations of this shape that have none, without memory."""
        return cls(*(np.broadcast_to(end, shape) for end in (-np.inf, np.inf, -np.inf, np.inf)))

    def __len__(self) -> int:
        return len(self.lower)

    def mapped(self, change: Callable[[np.ndarray], np.ndarray]) -> Limits:
        """Return the limits with each of the four arrays changed."""
        return Limits(*map(change, self.arrays))

    @property
    def arrays(self) -> tuple[np.ndarray, ...]:
        """L, u, a and b."""
        return self.lower, self.upper, self.least, self.most

    def of(self, systems: np.ndarray | slice) -> Limits:
        """Return the limits of some systems, which may occur several times."""
        return self.mapped(lambda x: x[systems])

    def tensors(self) -> tuple[torch.Tensor, ...]:
        """Return l, u, a and b as tensors."""
        return tuple(map(torch.from_numpy, self.arrays))

    def censored(self, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return which observations y (n, d_y) are censored below and above."""
        below = (self.least < y) & (y <= self.lower)
        return below, (self.upper <= y) & (y < self.most)

    def held(self, y: torch.Tensor) -> torch.Tensor:
        """Return T(y) of observations (n, d_y)."""
        lower, upper, least, most = self.tensors()
        y = torch.where((least < y) & (y <= lower), lower, y)
        return torch.where((upper <= y) & (y < most), upper, y)

    def ends(self, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the ends between which observations y (n, d_y) lie, y and y where it is known."""
        below, above = self.censored(y)
        low = np.where(below, self.least, np.where(above, self.upper, y))
        return low, np.where(below, self.lower, np.where(above, self.most, y))


def limits_of(ends: Mapping[str, np.ndarray], observations: Observations) -> Limits:
    """Return the limits of what is observed: of logarithms, if these are.

    Parameters
    ----------
    ends : mapping of str to ndarray of shape (n, d_y)
        The limits in a file, by :data:`popinv.observation_files.limit_keys.VARIABLES`.
    """
    if observations.logarithm:
        # A value that is only known to be positive has any logarithm.
        with np.errstate(divide="ignore"):
            ends = {name: np.log(np.maximum(values, 0.0)) for name, values in ends.items()}
    return Limits(*(ends[name] for name in VARIABLES))


def limits_in(observations: xr.Dataset, ending: str) -> Limits | None:
    """Return the limits in a Dataset of observations; None if nothing is censored.

    Parameters
    ----------
    ending : str
        "" or "_heldout".
    """
    if f"censored_below{ending}" not in observations:
        return None
    return Limits(*(observations[f"{name}{ending}"].values for name in VARIABLES))
