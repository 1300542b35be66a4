r"""Correlation matrices R in unconstrained coordinates, and the Jacobian of their correlations.

``R = C C^T`` with the Cholesky factor C, whose rows have length 1. Two kinds of coordinates u of C
are in use:

- atanh of the canonical partial correlations p_ij (:mod:`popinv.population.laws.gaussian`);
- rows in the direction of :math:`(a_{i1}, \dots, a_{i,i-1}, 1)`
  (:mod:`popinv.population.noise.unstructured`).

The correlations r below the diagonal depend on the entries of C below the diagonal by a triangular
matrix with the determinant :math:`\prod_{i > j} C_{jj}`. With d rows, counted from 1, the Jacobians
of the whole maps are

.. math::
    \log \Bigl|\frac{\partial r}{\partial u}\Bigr|
    = \sum_{i > j} \Bigl(\frac{d - j - 1}{2} + 1\Bigr) \log(1 - p_{ij}^2), \qquad
    \log \Bigl|\frac{\partial r}{\partial a}\Bigr|
    = -\frac{d + 1}{2} \sum_i \log\Bigl(1 + \sum_{j < i} a_{ij}^2\Bigr)

(the first: Lewandowski, Kurowicka and Joe, J. Multivariate Anal. 100, 2009).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from popinv.late import torch


@dataclass(frozen=True)
class CorrelationMatrix:
    """The entries of a model's parameters that are the coordinates u of one correlation matrix.

    Attributes
    ----------
    entries : tuple of int
        Places of the coordinates among the model's parameters. The natural values at these places
        are the correlations below the diagonal, row by row.
    size : int
        d, the number of rows; there are d (d - 1) / 2 coordinates.
    factor : callable
        Maps the coordinates to C (d, d), which torch differentiates.
    log_slope : callable
        Maps the coordinates and d to the logarithm of the Jacobian of the correlations.
    """

    entries: tuple[int, ...]
    size: int
    factor: Callable[[torch.Tensor], torch.Tensor]
    log_slope: Callable[[torch.Tensor, int], torch.Tensor]

    def correlations(self, u: torch.Tensor) -> torch.Tensor:
        """Return the correlations (pairs,) at the coordinates (pairs,)."""
        factor = self.factor(u)
        rows, columns = np.tril_indices(self.size, -1)
        return (factor @ factor.T)[torch.from_numpy(rows), torch.from_numpy(columns)]

    def log_determinant(self, u: torch.Tensor) -> torch.Tensor:
        """Return log det R at the coordinates (pairs,)."""
        return 2 * torch.log(torch.diagonal(self.factor(u))).sum()

    def log_jacobian(self, u: torch.Tensor) -> torch.Tensor:
        """Return the logarithm of the determinant of dr / du at the coordinates (pairs,)."""
        return self.log_slope(u, self.size)

    def after(self, count: int) -> CorrelationMatrix:
        """Return the matrix of a model with this many parameters before these."""
        return replace(self, entries=tuple(count + i for i in self.entries))


def slope_of_partials(u: torch.Tensor, size: int) -> torch.Tensor:
    """Return log |dr / du| for u (pairs,), atanh of partial correlations."""
    columns = torch.from_numpy(np.tril_indices(size, -1)[1])
    # log(1 - tanh^2) without cancellation.
    log_rest = -2 * torch.nn.functional.softplus(2 * u) + 2 * (u + np.log(2.0))
    return (((size - 2 - columns) / 2 + 1) * log_rest).sum()


def slope_of_rows(a: torch.Tensor, size: int) -> torch.Tensor:
    """Return log |dr / da| for a (pairs,), the directions of the rows."""
    rows = torch.from_numpy(np.tril_indices(size, -1)[0])
    squares = torch.zeros(size, dtype=a.dtype).index_add(0, rows, a**2)
    return -(size + 1) / 2 * torch.log1p(squares).sum()
