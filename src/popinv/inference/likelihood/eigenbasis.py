r"""The basis in which signal and noise of systems with the same moments are uncorrelated.

With the noise ``Gamma = L L^T`` and the signal's covariance S,
``L^{-1} S L^{-T} = V diag(lambda) V^T``. In the basis ``B = V^T L^{-1}``, an observation with noise
scale s has the diagonal covariance ``lambda + s^2``, whatever s is.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from popinv.errors import DivergenceError
from popinv.inference.likelihood.model_moments import ModelMoments

# Number of observations from which quadratic forms are factored. Eigenvalues below the second
# number, relative to the largest, are rounding.
_FACTORED_FROM, _NEGLIGIBLE = 200, 1e-12


@dataclass(frozen=True)
class Square:
    """The quadratic form ``x^T C x`` of a symmetric matrix ``C = c I + Q diag(w) Q^T``.

    The change of the signal's covariance has a low rank, and the noise's amplitude a multiple of I.

    Attributes
    ----------
    matrix : Tensor of shape (d, r) or (d, d)
        Q, or C itself if its rank is not low.
    shift : float
        c.
    weights : Tensor of shape (r,), optional
        w; None if the matrix is C.
    """

    matrix: torch.Tensor
    shift: float = 0.0
    weights: torch.Tensor | None = None

    @classmethod
    def of(cls, matrix: torch.Tensor) -> Square:
        """Return the form of a matrix (d, d)."""
        if len(matrix) < _FACTORED_FROM:
            return cls(matrix)
        values, vectors = torch.linalg.eigh((matrix + matrix.T) / 2)
        shift = float(values.median())
        kept = torch.abs(values - shift) > _NEGLIGIBLE * torch.abs(values).max()
        if 2 * int(kept.sum()) > len(matrix):
            return cls(matrix)
        return cls(vectors[:, kept], shift, values[kept] - shift)

    def __call__(self, rows: torch.Tensor) -> torch.Tensor:
        """Return the form of each row (n, d), shape (n,)."""
        if self.weights is None:
            return ((rows @ self.matrix) * rows).sum(dim=1)
        low = (rows @ self.matrix).square() @ self.weights
        return low + self.shift * rows.square().sum(dim=1)


@dataclass(frozen=True)
class Derivatives:
    """Derivatives of the moments in the free entries of p, in the basis; zero for the others.

    Attributes
    ----------
    means : Tensor of shape (n_p, d)
    covariances : Tensor of shape (n_p, d, d)
    of_law : Tensor of bool, shape (n_p,)
        Whether an entry is the law's: the noise's are multiplied by s^2.
    free : ndarray of bool, shape (n_p,)
    """

    means: torch.Tensor
    covariances: torch.Tensor
    of_law: torch.Tensor
    free: np.ndarray

    @cached_property
    def squares(self) -> dict[int, Square]:
        """The quadratic forms of the free entries' covariances."""
        return {int(i): Square.of(self.covariances[i]) for i in np.flatnonzero(self.free)}

    def information(self, inverses: torch.Tensor, total: torch.Tensor) -> torch.Tensor:
        """Return the expected information of all systems, shape (n_p, n_p).

        Parameters
        ----------
        inverses : Tensor of shape (3, d, d)
            ``sum_n s_n^(2 k) / (v_ni v_nj)`` for k = 0, 1, 2, with v the variances.
        total : Tensor of shape (d,)
            ``sum_n 1 / v_ni``.
        """
        information = (self.means * total) @ self.means.T
        law = self.of_law
        for pairs, here in zip(
            inverses,
            (law[:, None] & law, law[:, None] ^ law, ~law[:, None] & ~law),
            strict=True,
        ):
            both = (self.covariances * pairs).flatten(1) @ self.covariances.flatten(1).T
            information = information + torch.where(here, 0.5 * both, 0.0)
        return information


class Eigenbasis:
    """The eigenbasis of some entries of an observation.

    Parameters
    ----------
    moments : ModelMoments
    covariance : Tensor of shape (d_y, d_y)
        Gamma.
    seen : ndarray of int, shape (d,)
        The entries.

    Attributes
    ----------
    matrix : Tensor of shape (d, d)
        B.
    values : Tensor of shape (d,)
        lambda.
    logdet : Tensor
        log det L.

    Raises
    ------
    DivergenceError
        If the noise covariance is not positive definite.
    """

    def __init__(self, moments: ModelMoments, covariance: torch.Tensor, seen: np.ndarray) -> None:
        self._moments, self._square = moments, np.ix_(seen, seen)
        self._entries = torch.from_numpy(seen)
        factor, failed = torch.linalg.cholesky_ex(covariance[self._square])
        if failed:
            raise DivergenceError("the noise covariance is not positive definite")
        half = torch.linalg.solve_triangular(factor, moments.covariance[self._square], upper=False)
        whole = torch.linalg.solve_triangular(factor, half.T, upper=False)
        values, vectors = torch.linalg.eigh((whole + whole.T) / 2)
        eye = torch.eye(len(seen), dtype=covariance.dtype)
        self.matrix = vectors.T @ torch.linalg.solve_triangular(factor, eye, upper=False)
        # Rounding may leave eigenvalues of the signal just below zero.
        self.values = torch.clamp(values, min=0.0)
        self.logdet = torch.log(torch.diagonal(factor)).sum()

    @property
    def mean(self) -> torch.Tensor:
        """Mean of the entries, shape (d,), not in the basis."""
        return self._moments.mean[self._entries]

    def derivatives(self, of_noise: list[torch.Tensor], free: np.ndarray) -> Derivatives:
        """Return the derivatives of the moments in the basis.

        Parameters
        ----------
        of_noise : list of Tensor of shape (d_y, d_y)
            Derivatives of Gamma in each parameter of the noise.
        free : ndarray of bool, shape (n_p,)
        """
        moments, d = self._moments, len(self.matrix)
        d_alpha = len(moments.mean_derivatives)
        means = torch.zeros((len(free), d), dtype=self.matrix.dtype)
        covariances = torch.zeros((len(free), d, d), dtype=self.matrix.dtype)
        for i in np.flatnonzero(free):
            change = of_noise[i - d_alpha] if i >= d_alpha else moments.covariance_derivatives[i]
            covariances[i] = self.matrix @ change[self._square] @ self.matrix.T
            if i < d_alpha:
                means[i] = self.matrix @ moments.mean_derivatives[i][self._entries]
        return Derivatives(means, covariances, torch.arange(len(free)) < d_alpha, free)
