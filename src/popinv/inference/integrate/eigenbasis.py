r"""The bases in which signal and noise of systems with the same moments are uncorrelated.

With the mean covariance of the noise ``N = L L^T`` and the signal's covariance S,
``L^{-1} S L^{-T} = V diag(lambda) V^T``. In the basis ``B = V^T L^{-1}``, an observation with noise
scale s has the diagonal covariance ``v = lambda + s^2``, whatever s is.

A cell is a set of systems with the same moments that show the same entries. Cells with equal
numbers of entries and systems are treated together, along a leading axis.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from popinv.errors import DivergenceError
from popinv.inference.integrate.model_moments import Moments
from popinv.late import torch

FACTORED_FROM = 200
"""Number of observations from which quadratic forms of many rows are factored."""

# Number of rows for each entry from which factors save time. Eigenvalues below the second number,
# relative to the largest, are rounding errors.
_ROWS_FOR_FACTORS, _NEGLIGIBLE = 10, 1e-12


@dataclass(frozen=True)
class Square:
    """The quadratic forms ``x^T C x`` of symmetric matrices ``C = c I + Q diag(w) Q^T``.

    The change of the signal's covariance has a low rank, and the noise's amplitude a multiple of I.

    Attributes
    ----------
    matrix : Tensor of shape (d, r) or (..., d, d)
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
    def of(cls, matrix: torch.Tensor, rows: int) -> Square:
        """Return the forms of matrices (C, d, d) for ``rows`` rows each."""
        d = matrix.shape[1]
        if len(matrix) > 1 or d < FACTORED_FROM or rows < _ROWS_FOR_FACTORS * d:
            return cls(matrix)
        values, vectors = torch.linalg.eigh((matrix[0] + matrix[0].T) / 2)
        shift = float(values.median())
        kept = torch.abs(values - shift) > _NEGLIGIBLE * torch.abs(values).max()
        if 2 * int(kept.sum()) > d:
            return cls(matrix)
        return cls(vectors[:, kept], shift, values[kept] - shift)

    def __call__(self, rows: torch.Tensor) -> torch.Tensor:
        """Return the form of each row (C, n, d), shape (C, n)."""
        if self.weights is None:
            return ((rows @ self.matrix) * rows).sum(dim=-1)
        low = (rows @ self.matrix).square() @ self.weights
        return low + self.shift * rows.square().sum(dim=-1)


@dataclass(frozen=True)
class Derivatives:
    """Derivatives of the moments of C cells in the free entries of p, in the basis.

    Attributes
    ----------
    means : Tensor of shape (C, n_p, d)
    entries : tuple of ndarray of int, shapes (a,) and (b,)
        The entries of p that change the signal's covariance, and those that change the noise's.
    covariances : tuple of Tensor, shapes (C, a, d, d) and (C, b, d, d)
    """

    means: torch.Tensor
    entries: tuple[np.ndarray, np.ndarray]
    covariances: tuple[torch.Tensor, torch.Tensor]

    def scores(
        self, residual: torch.Tensor, squares: torch.Tensor, variance: torch.Tensor
    ) -> torch.Tensor:
        r"""Return the scores (C, m, n_p) of residuals (C, m, d) in the basis.

        .. math:: \partial_i m^T (r / v) + \tfrac12 \sum_k s^{2k} \Bigl(
            \sum_{jl} \partial_i C^k_{jl} \frac{r_j r_l}{v_j v_l}
            - \sum_j \partial_i C^k_{jj} / v_j \Bigr),

        with C^0 the signal's covariance, and C^1 the noise's.

        Parameters
        ----------
        residual : Tensor of shape (C, m, d)
        squares : Tensor of shape (C, m, 1) or (C, 1, 1)
            s^2.
        variance : Tensor of shape (C, m, d) or (C, 1, d)
            v.
        """
        weighted, inverse = residual / variance, 1 / variance
        scores = weighted @ self.means.mT
        for k, (entries, changes) in enumerate(zip(self.entries, self.covariances, strict=True)):
            traces = inverse @ changes.diagonal(dim1=2, dim2=3).mT
            for j, i in enumerate(entries):
                square = Square.of(changes[:, j], weighted.shape[1])(weighted)
                scores[..., i] += 0.5 * squares[..., 0] ** k * (square - traces[..., j])
        return scores

    def information(
        self, squares: torch.Tensor, variance: torch.Tensor, times: float
    ) -> torch.Tensor:
        r"""Return the expected information of all systems of the cells, shape (n_p, n_p).

        .. math:: \sum_n \partial_i m^T \operatorname{diag}(1 / v) \partial_j m + \tfrac12
            \sum_{jl} \frac{\partial_i C_{jl} \, \partial_j C_{jl}}{v_j v_l},
            \qquad C = C^0 + s_n^2 C^1 .

        Parameters
        ----------
        squares, variance : Tensor
            As for :meth:`scores`.
        times : float
            Number of systems for each of their rows.
        """
        inverse = 1 / variance
        means = self.means * (times * inverse.sum(dim=1, keepdim=True))
        information = torch.einsum("cid,cjd->ij", means, self.means)
        flat = [each.flatten(2) for each in self.covariances]
        for k, (one, two) in enumerate(((0, 0), (0, 1), (1, 1))):
            pairs = (inverse.mT @ (inverse * squares**k)).flatten(1)
            both = torch.einsum("cix,cjx->ij", flat[one] * pairs[:, None], flat[two])
            rows, columns = self.entries[one], self.entries[two]
            information[np.ix_(rows, columns)] += 0.5 * times * both
            if one != two:
                information[np.ix_(columns, rows)] += 0.5 * times * both.T
        return information


class Eigenbases:
    """The eigenbases of C cells.

    Parameters
    ----------
    groups : ndarray of int, shape (C,)
        The group of each cell.
    seen : ndarray of int, shape (C, d)
        The entries that its systems show.

    Attributes
    ----------
    matrix : Tensor of shape (C, d, d)
        B.
    values : Tensor of shape (C, d)
        lambda.
    logdet : Tensor of shape (C,)
        log det L.

    Raises
    ------
    DivergenceError
        If a mean covariance of the noise is not positive definite.
    """

    def __init__(self, moments: Moments, groups: np.ndarray, seen: np.ndarray) -> None:
        self._moments = moments
        self._group, self._entries = torch.from_numpy(groups), torch.from_numpy(seen)
        factor, failed = torch.linalg.cholesky_ex(self._block(moments.noise))
        if failed.any() or not torch.isfinite(factor).all():
            raise DivergenceError("the covariance of the noise is not positive definite")
        half = torch.linalg.solve_triangular(factor, self._block(moments.signal), upper=False)
        whole = torch.linalg.solve_triangular(factor, half.mT, upper=False)
        values, vectors = torch.linalg.eigh((whole + whole.mT) / 2)
        eye = torch.eye(seen.shape[1], dtype=factor.dtype).expand_as(factor)
        self.matrix = vectors.mT @ torch.linalg.solve_triangular(factor, eye, upper=False)
        # Rounding may give eigenvalues of the signal just below zero.
        self.values = torch.clamp(values, min=0.0)
        self.logdet = torch.log(factor.diagonal(dim1=1, dim2=2)).sum(dim=1)

    @property
    def mean(self) -> torch.Tensor:
        """Mean of the entries, shape (C, d), not in the basis."""
        return self._moments.mean[self._group[:, None], self._entries]

    def derivatives(self) -> Derivatives:
        """Return the derivatives of the moments in the basis."""
        moments, n_p = self._moments, self._moments.of_noise.shape[1]
        count, d = self.values.shape
        means = self.matrix.new_zeros((count, n_p, d))
        of_mean = moments.of_mean[self._group].take_along_dim(self._entries[:, None], dim=2)
        means[:, : of_mean.shape[1]] = of_mean @ self.matrix.mT
        covariances = []
        for changes, entries in zip(
            (moments.of_signal, moments.of_noise), moments.changes, strict=True
        ):
            each = self.matrix.new_zeros((count, len(entries), d, d))
            for j, i in enumerate(entries):
                each[:, j] = self.matrix @ self._block(changes[:, i]) @ self.matrix.mT
            covariances.append(each)
        return Derivatives(means, moments.changes, (covariances[0], covariances[1]))

    def _block(self, matrices: torch.Tensor) -> torch.Tensor:
        """Return the block (C, d, d) of the cells' entries of a matrix of each group."""
        rows, columns = self._entries[:, :, None], self._entries[:, None]
        return matrices[self._group[:, None, None], rows, columns]
