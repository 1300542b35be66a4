"""The interface of every forward model.

A forward model maps parameters of one physical system to its noise-free observations,
``y = G(z)``, for many systems at a time. It is deterministic; a system that cannot be solved
becomes a NaN row with a reason, and the other rows of the batch are kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Protocol, cast, runtime_checkable

import numpy as np


@dataclass(frozen=True)
class Parameter:
    """One entry of z: its name, its unit ("1" if none) and a sentence for plots and tables."""

    name: str
    units: str = "1"
    long_name: str = ""


@dataclass(frozen=True)
class Observations:
    """A description of the entries of one observation vector.

    Parameters
    ----------
    coordinates : ndarray of shape (d_y, k)
        Place (and time) of each entry, in ``coordinate_units``.
    coordinate_names : sequence of str, length k
        For example ``("x",)`` or ``("x", "t")``.
    name, units, long_name : str
        The observed quantity.
    labels : sequence of str, length d_y, optional
        Names of the entries, where they are different quantities. Their order is free but for
        time series: the coordinate ``"t"`` stands last and runs fastest, so that entry
        ``s * n_t + k`` is the k-th time at the s-th place.
    logarithm : bool
        Whether an observation is the natural logarithm of what a file holds.
    """

    coordinates: np.ndarray
    coordinate_names: Sequence[str]
    name: str
    units: str = "1"
    long_name: str = ""
    coordinate_units: str = "1"
    labels: Sequence[str] = ()
    logarithm: bool = False

    def __len__(self) -> int:
        return len(self.coordinates)

    @property
    def own_sensors(self) -> bool:
        """Whether each system has sensors at places of its own, which stand in its design."""
        return tuple(self.coordinate_names) == ("sensor",)

    @property
    def time_count(self) -> int | None:
        """Number of different times, None if the entries have none."""
        times = self.coordinates[:, -1] if self.coordinate_names[-1] == "t" else None
        return None if times is None else len(np.unique(times))


@dataclass(frozen=True)
class Solutions:
    """The outcome of a batch of solves.

    Parameters
    ----------
    observations : ndarray of shape (n, d_y)
        Noise-free observations; a failed row is NaN throughout.
    reason : ndarray of str, shape (n,)
        Empty where the solve succeeded, else why it failed.
    """

    observations: np.ndarray
    reason: np.ndarray

    @property
    def failed(self) -> np.ndarray:
        """Boolean mask of shape (n,): True where the solve failed."""
        return self.reason != ""


@runtime_checkable
class ForwardModel(Protocol):
    """A model with named parameters, described observations and a batched ``solve``."""

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """The d_z entries of z, in order."""
        ...

    @property
    def observations(self) -> Observations:
        """The d_y entries of y, in order."""
        ...

    def solve(self, z: np.ndarray, stage: str = "solve", first: int = 0) -> Solutions:
        """Solve for z of shape (n, d_z); never raises for a single bad row.

        A model with randomness inside (an initial state, say) draws it for row i from the
        generator of (seed, stage, first + i), whatever else is in the batch.
        """
        ...


@runtime_checkable
class DifferentiableModel(ForwardModel, Protocol):
    """A forward model that also gives its derivatives, row by row as ``solve`` does.

    A row that cannot be solved is NaN in the derivatives too.
    """

    def jvp(self, z: np.ndarray, tangents: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return G(z) and its derivatives along tangents.

        Parameters
        ----------
        z : ndarray of shape (n, d_z)
        tangents : ndarray of shape (k, n, d_z)

        Returns
        -------
        ndarray of shape (n, d_y), ndarray of shape (k, n, d_y)
        """
        ...

    def vjp(self, z: np.ndarray, cotangents: np.ndarray) -> np.ndarray:
        """Return the gradient in z of sum_j cotangents[:, j] G_j(z), shape (n, d_z).

        Parameters
        ----------
        z : ndarray of shape (n, d_z)
        cotangents : ndarray of shape (n, d_y)
        """
        ...


@runtime_checkable
class ClaimedDerivatives(DifferentiableModel, Protocol):
    """A differentiable model whose derivatives come from the user, and are checked at the start."""

    def check_derivatives(self, z: np.ndarray) -> bool:
        """Compare the derivatives with differences of solves, at the first two rows of z.

        Parameters
        ----------
        z : ndarray of shape (n, d_z)
            Draws of the starting population.

        Returns
        -------
        bool
            True if there was anything to compare; False where no row can be solved.

        Raises
        ------
        SolverError
            If they differ, or fail where the solves do not.
        """
        ...


def session(model: ForwardModel) -> AbstractContextManager[None]:
    """Return a context in which the user's own simulator keeps running between calls.

    Other forward models start nothing for a call, and are left as they are.
    """
    return cast("AbstractContextManager[None]", getattr(model, "session", nullcontext)())
