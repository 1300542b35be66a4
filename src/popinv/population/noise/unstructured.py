r"""Noise whose covariance uses neither places nor times: isotropic, diagonal, and unrestricted.

**Unrestricted.** Gamma is written as standard deviations and a correlation matrix, and the Cholesky
factor of the latter as unit rows in the direction of (a_{i1}, ..., a_{i,i-1}, 1):

.. math:: L_{ij} = \sigma_i \frac{a_{ij}}{\sqrt{1 + \sum_{k<i} a_{ik}^2}}, \qquad a_{ii} = 1,

which reaches every positive definite matrix once. For the descent these coordinates are only
storage: its step is taken in whitened coordinates, ``L -> L (I + E)`` with E symmetric (see
:mod:`popinv.inference.estimators.covariance_step`), in which no direction is longer than another.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from popinv.late import torch
from popinv.population.constraints import CORRELATION, POSITIVE
from popinv.population.correlation_matrix import CorrelationMatrix, slope_of_rows
from popinv.population.noise.base import STEP_SCALE, NoiseModel, one_or_each


class IsotropicNoise(NoiseModel):
    """Gamma = sigma**2 I.

    Parameters
    ----------
    d_y : int
        Number of observations per system.
    """

    names = ("standard_deviation",)
    independent = True

    def __init__(self, d_y: int) -> None:
        self.d_y = d_y

    def at_any_places(self, count: int) -> IsotropicNoise:
        """Return the noise of ``count`` observations."""
        return IsotropicNoise(count)

    def covariance(self, gamma: torch.Tensor) -> torch.Tensor:
        """Return sigma**2 I for gamma = (log sigma,)."""
        return torch.exp(2 * gamma[0]) * torch.eye(self.d_y, dtype=gamma.dtype)

    def cholesky(self, gamma: torch.Tensor) -> torch.Tensor:
        """Return sigma I."""
        return torch.exp(gamma[0]) * torch.eye(self.d_y, dtype=gamma.dtype)

    def sample(self, gamma: torch.Tensor, e: torch.Tensor) -> torch.Tensor:
        """Map standard normal e (n, d_y) to noise (n, d_y): xi = sigma e."""
        return torch.exp(gamma[0]) * e


class DiagonalNoise(NoiseModel):
    """Gamma = diag(sigma_1**2, ..., sigma_d**2): every sensor has its own noise.

    Parameters
    ----------
    d_y : int
        Number of observations per system.
    """

    independent = True

    def __init__(self, d_y: int) -> None:
        self.d_y = d_y
        self.names = tuple(f"standard_deviation_{i + 1}" for i in range(d_y))

    def covariance(self, gamma: torch.Tensor) -> torch.Tensor:
        """Return the diagonal matrix for gamma = (log sigma_1, ..., log sigma_d)."""
        return torch.diag(torch.exp(2 * gamma))

    def cholesky(self, gamma: torch.Tensor) -> torch.Tensor:
        """Return the diagonal matrix of standard deviations."""
        return torch.diag(torch.exp(gamma))

    def sample(self, gamma: torch.Tensor, e: torch.Tensor) -> torch.Tensor:
        """Map standard normal e (n, d_y) to noise (n, d_y): xi_i = sigma_i e_i."""
        return torch.exp(gamma) * e

    def _by_name(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        # One number for all sensors, or one per sensor, under the name of the family's parameter.
        if set(values) != {"standard_deviation"}:
            return values
        return one_or_each(values["standard_deviation"], self.names)


def pairs(count: int) -> list[tuple[int, int]]:
    """Return the pairs (i, j), i < j, from 0, in the order of the lower triangle's rows."""
    return [(i, j) for j in range(count) for i in range(j)]


class FullNoise(NoiseModel):
    """Any covariance: a standard deviation for each observation, a correlation for each pair.

    gamma = (log sigma_1, ..., log sigma_d, a_21, a_31, a_32, ...), d_y (d_y + 1) / 2 numbers.

    Parameters
    ----------
    d_y : int
        Number of observations per system.
    shrinkage : float
        Strength of the shrinkage towards the diagonal in the descent, relative to the information
        in N observations of the noise alone. It divides small correlations by 1 + shrinkage.
    """

    unrestricted = True

    def __init__(self, d_y: int, shrinkage: float) -> None:
        self.d_y, self.shrinkage = d_y, shrinkage
        self._deviations = tuple(f"standard_deviation_{i + 1}" for i in range(d_y))
        self._pairs = tuple(f"correlation_{i + 1}_{j + 1}" for i, j in pairs(d_y))
        self.names = (*self._deviations, *self._pairs)
        self.constraints = (*(POSITIVE,) * d_y, *(CORRELATION,) * len(self._pairs))
        self._rows, self._columns = np.tril_indices(d_y, -1)

    @property
    def scale(self) -> np.ndarray:
        """Natural size of a change: rows of a longer triangle take smaller ones."""
        off = np.full(len(self._pairs), STEP_SCALE / np.sqrt(self.d_y))
        return np.concatenate([np.full(self.d_y, STEP_SCALE), off])

    @property
    def matrices(self) -> tuple[CorrelationMatrix, ...]:
        """The correlations of the observations."""
        entries = tuple(range(self.d_y, len(self.names)))
        return (CorrelationMatrix(entries, self.d_y, self._unit_rows, slope_of_rows),)

    def cholesky(self, gamma: torch.Tensor) -> torch.Tensor:
        """Return L for gamma = (log sigma, a)."""
        rows = self._directions(gamma[self.d_y :])
        return torch.exp(gamma[: self.d_y, None]) * rows / torch.linalg.norm(rows, dim=1)[:, None]

    def _directions(self, a: torch.Tensor) -> torch.Tensor:
        """Return the rows (a_i1, ..., a_i,i-1, 1), which give the rows of L their directions."""
        rows = torch.eye(self.d_y, dtype=a.dtype)
        return rows.index_put((torch.from_numpy(self._rows), torch.from_numpy(self._columns)), a)

    def _unit_rows(self, a: torch.Tensor) -> torch.Tensor:
        """Return the Cholesky factor of the correlation matrix."""
        rows = self._directions(a)
        return rows / torch.linalg.norm(rows, dim=1)[:, None]

    def penalty(self, gamma: torch.Tensor) -> torch.Tensor:
        """Return ``shrinkage`` times the divergence of N(0, Gamma) from N(0, diag Gamma).

        ``KL = (tr R^{-1} + log det R - d_y) / 2`` with the correlation matrix R.
        """
        factor = self.cholesky(gamma) * torch.exp(-gamma[: self.d_y, None])
        inverse = torch.linalg.solve_triangular(
            factor, torch.eye(self.d_y, dtype=gamma.dtype), upper=False
        )
        logdet = 2 * torch.log(torch.diagonal(factor)).sum()
        return 0.5 * self.shrinkage * ((inverse**2).sum() + logdet - self.d_y)

    def covariance(self, gamma: torch.Tensor) -> torch.Tensor:
        """Return L L^T."""
        factor = self.cholesky(gamma)
        return factor @ factor.T

    def from_cholesky(self, factor: torch.Tensor) -> torch.Tensor:
        """Return gamma for a lower triangular factor with a positive diagonal."""
        scaled = factor / torch.diagonal(factor)[:, None]
        deviations = torch.log(torch.linalg.norm(factor, dim=1))
        return torch.cat([deviations, scaled[self._rows, self._columns]])

    def whitened_gradient(self, gamma: np.ndarray, gradient: np.ndarray) -> np.ndarray:
        """Return the symmetric A with dJ = tr(A E) for L -> L (I + E), given dJ / dgamma.

        E symmetric changes Gamma as the lower triangular F with F + F^T = 2 E does, and L F stays
        lower triangular; hence A is the lower triangle of L^T dJ/dL, mirrored.
        """
        factor = self.cholesky(torch.from_numpy(gamma)).detach().requires_grad_(True)
        with torch.enable_grad():
            (slope,) = torch.autograd.grad(
                self.from_cholesky(factor), factor, torch.from_numpy(gradient)
            )
        lower = np.tril((factor.detach().T @ slope).numpy())
        return lower + np.tril(lower, -1).T

    def moved(self, gamma: np.ndarray, change: np.ndarray) -> np.ndarray:
        """Return gamma of the positive definite L exp(2 E) L^T, for a symmetric E (d_y, d_y)."""
        values, vectors = np.linalg.eigh(change)
        root = self.cholesky(torch.from_numpy(gamma)).numpy() @ (vectors * np.exp(values))
        # The triangular factor of root root^T, without squaring its condition number.
        upper = np.linalg.qr(root.T, mode="r")
        factor = (upper * np.sign(np.diag(upper))[:, None]).T
        return self.from_cholesky(torch.from_numpy(factor)).numpy()

    def to_natural(self, unconstrained: np.ndarray) -> np.ndarray:
        """Return standard deviations and correlations, for gamma of shape (..., n)."""
        gamma = np.asarray(unconstrained, dtype=float)
        rows = np.zeros((*gamma.shape[:-1], self.d_y, self.d_y)) + np.eye(self.d_y)
        rows[..., self._rows, self._columns] = gamma[..., self.d_y :]
        rows /= np.linalg.norm(rows, axis=-1, keepdims=True)
        correlation = rows @ np.swapaxes(rows, -1, -2)
        return np.concatenate(
            [np.exp(gamma[..., : self.d_y]), correlation[..., self._rows, self._columns]], axis=-1
        )

    def to_unconstrained(self, natural: np.ndarray) -> np.ndarray:
        """Return gamma (n,) for standard deviations and correlations.

        Raises
        ------
        ValueError
            If the correlation matrix is not positive definite.
        """
        correlation = np.eye(self.d_y)
        correlation[self._rows, self._columns] = natural[self.d_y :]
        correlation[self._columns, self._rows] = natural[self.d_y :]
        try:
            factor = np.linalg.cholesky(correlation)
        except np.linalg.LinAlgError:
            raise ValueError(
                "these correlations are impossible: their matrix is not positive definite"
            ) from None
        factor = natural[: self.d_y, None] * factor
        return self.from_cholesky(torch.from_numpy(factor)).numpy()

    def _by_name(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        if set(values) != {"standard_deviation", "correlation"}:
            return values
        return {
            **one_or_each(values["standard_deviation"], self._deviations),
            **one_or_each(values["correlation"], self._pairs),
        }
