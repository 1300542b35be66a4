r"""The base of the models of the observation noise, xi ~ N(0, Gamma(gamma)).

gamma is unconstrained and Gamma(gamma) positive definite by construction. ``Gamma = L L^T`` with
L lower triangular; any other square root differs by a rotation, to which the sliced Wasserstein
distance is blind.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

# Parameters by name or by key of the configuration, where a list holds one for each name.
NoiseValues = Mapping[str, float | Sequence[float]]

# A change of 1 in the logarithm of a standard deviation, or in atanh of a correlation, is large.
# Half of it is the natural size of a change.
STEP_SCALE = 0.5

# Names of the parameters that are standard deviations.
_DEVIATIONS = ("standard_deviation", "amplitude", "nugget", "proportional")


class NoiseModel(ABC):
    """A family of covariances of shape (d_y, d_y).

    Attributes
    ----------
    names : tuple of str
        The parameters as the user reads them, as many as gamma has entries.
    d_y : int
        Number of observations per system.
    unrestricted : bool
        True if every covariance is in the family, as in that of kind ``full``.
    by_distance : bool
        True if the covariance of two observations is a function of their distance.
    shrinkage : float
        Weight of :meth:`penalty`, relative to what the observations of noise alone would say.
    varies : bool
        True if the noise depends on the signal or on covariates, or is not Gaussian. See
        :class:`popinv.population.noise.varying.VaryingNoise`.
    """

    names: tuple[str, ...]
    d_y: int
    unrestricted = False
    by_distance = False
    shrinkage = 0.0
    varies = False

    @property
    def is_normal(self) -> bool:
        """Whether the noise is normal, with a covariance that does not depend on the signal."""
        return True

    @property
    def of_one(self) -> NoiseModel:
        """The noise of one replicate, of systems with several."""
        return self

    @property
    def family(self) -> NoiseModel:
        """The Gaussian noise of a constant size, of one replicate, that the noise is made of."""
        return self

    @property
    def correlations(self) -> np.ndarray:
        """Boolean mask (n,): which parameters are in (-1, 1); the others are positive."""
        return np.zeros(len(self.names), dtype=bool)

    @property
    def sizes(self) -> np.ndarray:
        """Boolean mask (n,): which parameters are standard deviations, or shares of the signal."""
        named = [any(word in name for word in _DEVIATIONS) for name in self.names]
        return np.array(named, dtype=bool) & ~self.correlations

    @property
    def scale(self) -> np.ndarray:
        """Natural size of a change of each entry of gamma, shape (n,)."""
        return np.full(len(self.names), STEP_SCALE)

    @abstractmethod
    def covariance(self, gamma: torch.Tensor) -> torch.Tensor:
        """Return Gamma, shape (d_y, d_y)."""

    def covariances(
        self, gamma: torch.Tensor, covariates: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return Gamma of all systems (d_y, d_y), or of each by its covariates (n, d_y, d_y)."""
        return self.covariance(gamma)

    def penalty(self, gamma: torch.Tensor) -> torch.Tensor:
        """Return the divergence of unlikely noise, times ``shrinkage``; zero without shrinkage."""
        return torch.zeros((), dtype=gamma.dtype)

    def cholesky(self, gamma: torch.Tensor) -> torch.Tensor:
        """Return the lower triangular L with Gamma = L L^T."""
        return torch.linalg.cholesky(self.covariance(gamma))

    def sample(self, gamma: torch.Tensor, e: torch.Tensor) -> torch.Tensor:
        """Map standard normal e (n, d_y) to noise (n, d_y): xi = L e."""
        return e @ self.cholesky(gamma).T

    def sample_given(
        self,
        gamma: torch.Tensor,
        e: torch.Tensor,
        signal: torch.Tensor,
        covariates: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Map standard normal e (n, d_y) to noise (n, d_y) about the signal of the same rows.

        Parameters
        ----------
        gamma : Tensor of shape (n_gamma,)
        e, signal : Tensor of shape (n, d_y)
        covariates : Tensor of shape (n, k), optional
            Of the rows, for noise that depends on them.
        """
        return self.sample(gamma, e)

    def mean_covariance(
        self, gamma: torch.Tensor, signal: torch.Tensor, covariates: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return the mean of the noise's covariance over signals (n, d_y), shape (d_y, d_y)."""
        return self.covariance(gamma)

    def whiten(self, gamma: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Return L^{-1} x for each row of x (n, d_y)."""
        return torch.linalg.solve_triangular(self.cholesky(gamma), x.T, upper=False).T

    def unbounded(self, natural: np.ndarray) -> np.ndarray:
        """Map each natural value to the real line: log if positive, atanh if a correlation.

        Parameters
        ----------
        natural : ndarray of shape (..., n)
        """
        inside, values = self.correlations, np.asarray(natural, dtype=float)
        mapped = np.empty_like(values)
        mapped[..., inside] = np.arctanh(values[..., inside])
        mapped[..., ~inside] = np.log(values[..., ~inside])
        return mapped

    def bounded(self, unbounded: np.ndarray) -> np.ndarray:
        """Undo :meth:`unbounded`: exp for positive values, tanh for correlations."""
        inside, values = self.correlations, np.asarray(unbounded, dtype=float)
        mapped = np.empty_like(values)
        mapped[..., inside] = np.tanh(values[..., inside])
        mapped[..., ~inside] = np.exp(values[..., ~inside])
        return mapped

    def to_natural(self, gamma: np.ndarray) -> np.ndarray:
        """Return the natural values for unconstrained gamma of shape (..., n)."""
        return self.bounded(gamma)

    def from_natural(self, values: NoiseValues) -> np.ndarray:
        """Return unconstrained gamma for named values.

        Raises
        ------
        ValueError
            If names do not fit, a value is not positive, or a correlation not within (-1, 1).
        """
        return self.unbounded(self._natural(values))

    def _natural(self, values: NoiseValues) -> np.ndarray:
        """Return the named values in order, each within its domain."""
        by_name = self._expand(values)
        if set(by_name) != set(self.names):
            raise ValueError(f"expected the names {self.names}, got {tuple(by_name)}")
        natural = np.array([float(by_name[name]) for name in self.names])
        inside = self.correlations
        if np.any(natural[~inside] <= 0):
            raise ValueError("the noise needs positive values")
        if np.any(np.abs(natural[inside]) >= 1):
            raise ValueError("a correlation lies strictly between -1 and 1")
        return natural

    def _expand(self, values: NoiseValues) -> Mapping[str, Any]:
        """Return values by name, for values by the keys of the configuration or by name."""
        return values


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
