r"""The base of the models of the observation noise, xi ~ N(0, Gamma(gamma)).

gamma is unconstrained (:mod:`popinv.population.constraints`) and Gamma(gamma) positive definite by
construction. ``Gamma = L L^T`` with L lower triangular; any other square root differs by a
rotation, to which the sliced Wasserstein distance is blind. The noise of a study is a family with
terms, :class:`popinv.population.noise.terms.Noise`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np

from popinv.late import torch
from popinv.population.constraints import (
    CORRELATION,
    POSITIVE,
    Constraint,
    Parameterised,
    entrywise,
)

# A change of 1 in the logarithm of a standard deviation, or in atanh of a correlation, is large.
# Half of it is the natural size of a change.
STEP_SCALE = 0.5

# Names of the parameters that are standard deviations.
_DEVIATIONS = ("standard_deviation", "amplitude", "nugget", "proportional")


class NoiseModel(Parameterised, ABC):
    """A family of covariances of shape (d_y, d_y).

    Attributes
    ----------
    names : tuple of str
        The parameters as the user reads them, as many as gamma has entries.
    constraints : tuple of Constraint
        The constraint of each. By default they are positive, but those that :attr:`correlations`
        marks.
    d_y : int
        Number of observations per system.
    unrestricted : bool
        True if every covariance is in the family, as for the kind ``full``.
    by_distance : bool
        True if the covariance of two observations is a function of their distance.
    independent : bool
        True if the noise of one replicate has no correlations, whatever its parameters.
    shrinkage : float
        Weight of :meth:`penalty`, relative to the information in observations of noise alone.
    is_series : bool
        True if the noise is an autoregression, from each time to the next.
    """

    d_y: int
    unrestricted = False
    by_distance = False
    independent = False
    shrinkage = 0.0
    is_series = False

    def _flagged(self) -> tuple[Constraint, ...]:
        return tuple(CORRELATION if inside else POSITIVE for inside in self.correlations)

    def at_any_places(self, count: int) -> NoiseModel | None:
        """Return the noise of ``count`` observations, if it is the same at all places and times."""
        return None

    @property
    def correlations(self) -> np.ndarray:
        """Boolean mask (n,): which parameters are in (-1, 1)."""
        return self._are(CORRELATION)

    @property
    def sizes(self) -> np.ndarray:
        """Boolean mask (n,): which parameters are standard deviations, or shares of the signal."""
        named = [any(word in name for word in _DEVIATIONS) for name in self.names]
        return np.array(named, dtype=bool) & [each == POSITIVE for each in self.constraints]

    @property
    def scale(self) -> np.ndarray:
        """Natural size of a change of each entry of gamma, shape (n,)."""
        return np.full(len(self.names), STEP_SCALE)

    @abstractmethod
    def covariance(self, gamma: torch.Tensor) -> torch.Tensor:
        """Return Gamma, shape (d_y, d_y)."""

    def penalty(self, gamma: torch.Tensor) -> torch.Tensor:
        """Return the divergence of unlikely noise, times ``shrinkage``; zero without shrinkage."""
        return torch.zeros((), dtype=gamma.dtype)

    def cholesky(self, gamma: torch.Tensor) -> torch.Tensor:
        """Return the lower triangular L with Gamma = L L^T."""
        return torch.linalg.cholesky(self.covariance(gamma))

    def sample(self, gamma: torch.Tensor, e: torch.Tensor) -> torch.Tensor:
        """Map standard normal e (n, d_y) to noise (n, d_y): xi = L e."""
        return e @ self.cholesky(gamma).T

    def whiten(self, gamma: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Return L^{-1} x for each row of x (n, d_y)."""
        return torch.linalg.solve_triangular(self.cholesky(gamma), x.T, upper=False).T

    def unbounded(self, natural: np.ndarray) -> np.ndarray:
        """Map each natural value (..., n) to the real line by its constraint."""
        return entrywise(self.constraints, natural, inverse=True)

    def bounded(self, unbounded: np.ndarray) -> np.ndarray:
        """Undo :meth:`unbounded`."""
        return entrywise(self.constraints, unbounded)


def one_or_each(value: float | Sequence[float], names: Sequence[str]) -> dict[str, float]:
    """Return a value for each name: the same number for all, or a list with one for each.

    Raises
    ------
    ValueError
        If a list has another length than there are names.
    """
    each = np.asarray(value, dtype=float)
    if each.ndim and each.shape != (len(names),):
        raise ValueError(f"expected one number or {len(names)}, got {each.size}")
    return dict(zip(names, np.broadcast_to(each, len(names)).tolist(), strict=True))


def kronecker(outer: torch.Tensor, inner: torch.Tensor) -> torch.Tensor:
    """Return the Kronecker product of two square matrices; torch.kron needs row-major matrices."""
    size = len(outer) * len(inner)
    return (outer[:, None, :, None] * inner[None, :, None, :]).reshape(size, size)
