r"""The base of the models of the observation noise, xi ~ N(0, Gamma(gamma)).

gamma is unconstrained (:mod:`popinv.population.constraints`) and Gamma(gamma) positive definite by
construction. ``Gamma = L L^T`` with L lower triangular; any other square root differs by a
rotation, to which the sliced Wasserstein distance is blind. Terms that a
family does not have are in :mod:`popinv.population.noise.terms`.
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
    varies : bool
        True if the noise depends on the signal, on covariates or on places of a system's own, or is
        not Gaussian. See :class:`popinv.population.noise.terms.Noise`, as for what follows.
    random_signal : bool
        True if a signal holds mean and covariance of the answer of a random simulator.
    discrepant : bool
        True if a part of the noise is a discrepancy of the simulator.
    shifts : bool
        True if the noise has a mean, :meth:`shift`.
    joins_replicates : bool
        True if the noise of the replicates of a system is correlated.
    is_series : bool
        True if the noise is an autoregression, from each time to the next.
    hyperparameters : tuple of int
        Entries of gamma that estimates hold, since they only set the prior of other entries.
    """

    d_y: int
    unrestricted = False
    by_distance = False
    independent = False
    shrinkage = 0.0
    varies = False
    random_signal = False
    discrepant = False
    shifts = False
    joins_replicates = False
    is_series = False
    hyperparameters: tuple[int, ...] = ()

    def _flagged(self) -> tuple[Constraint, ...]:
        return tuple(CORRELATION if inside else POSITIVE for inside in self.correlations)

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
        """The Gaussian noise of constant size, of one replicate, on which the noise is built."""
        return self

    @property
    def measured(self) -> NoiseModel:
        """The measurement noise, without the intrinsic variation of a random simulator."""
        return self

    def intrinsic_variance(self, signal: torch.Tensor) -> torch.Tensor:
        """Return the variances (..., d_y) of the simulator's answer, zero if it is not random."""
        return torch.zeros_like(signal)

    def of_run(self, answer: torch.Tensor) -> torch.Tensor:
        """Return the signal (n, ...) of the answer of one run of the simulator (n, d_y)."""
        return answer

    def mean(self, signal: torch.Tensor) -> torch.Tensor:
        """Return the mean observation (..., d_y) of signals, which it is itself."""
        return signal

    def at_any_places(self, count: int) -> NoiseModel | None:
        """Return the noise of ``count`` observations, if it is the same at all places and times."""
        return None

    @property
    def correlations(self) -> np.ndarray:
        """Boolean mask (n,): which parameters are in (-1, 1)."""
        return self._are(CORRELATION)

    @property
    def of_shape(self) -> np.ndarray:
        """Boolean mask (n,): which parameters have a standard normal prior, as those of a shape."""
        return np.zeros(len(self.names), dtype=bool)

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

    def covariances(
        self, gamma: torch.Tensor, covariates: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return Gamma of all systems (d_y, d_y), or of each by its covariates (n, d_y, d_y)."""
        return self.covariance(gamma)

    def covariance_given(
        self, gamma: torch.Tensor, signal: torch.Tensor, covariates: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return the covariance (n, d_y, d_y) of the noise about each signal (n, d_y)."""
        return self.covariance(gamma).expand(len(signal), -1, -1)

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
        scale: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Map standard normal e (n, d_y) to noise (n, d_y) about the signal of the same rows.

        Parameters
        ----------
        gamma : Tensor of shape (n_gamma,)
        e, signal : Tensor of shape (n, d_y)
        covariates : Tensor of shape (n, k), optional
            Covariates of the rows, for noise that depends on them.
        scale : Tensor of shape (n,), optional
            The noise scales s of the rows, 1 by default. An observation adds s times the result.
            It matters where a part of the result does not grow with s.
        """
        return self.sample(gamma, e)

    def shift(self, gamma: torch.Tensor, covariates: torch.Tensor | None = None) -> torch.Tensor:
        """Return the mean of the noise, (d_y,) or (n, d_y); zero unless the noise ``shifts``.

        The samples and the covariance are about this mean.
        """
        return torch.zeros(self.d_y, dtype=gamma.dtype)

    def mean_covariance(
        self, gamma: torch.Tensor, signal: torch.Tensor, covariates: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return the mean of the noise's covariance over signals (n, d_y), shape (d_y, d_y)."""
        return self.covariance(gamma)

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
