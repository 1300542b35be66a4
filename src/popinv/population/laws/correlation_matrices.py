r"""Correlation matrices from canonical partial correlations.

The Cholesky factor C of a correlation matrix follows from partial correlations p_ij in (-1, 1),
i > j,

.. math::
    C_{ij} = p_{ij} \Bigl(1 - \sum_{k < j} C_{ik}^2\Bigr)^{1/2}, \qquad
    C_{ii} = \Bigl(1 - \sum_{k < i} C_{ik}^2\Bigr)^{1/2},

and any such p give a positive definite matrix (Lewandowski, Kurowicka and Joe, J. Multivariate
Anal. 100, 2009). The unconstrained coordinates are atanh p_ij. For two parameters p is the
correlation itself.
"""

from __future__ import annotations

import itertools

import numpy as np
import torch

# Partial correlations are kept so far from 1.
_INSIDE = 1e-6


def pair_indices(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return rows and columns of the entries below the diagonal, row by row."""
    pairs = [(i, j) for i in range(1, size) for j in range(i)]
    rows, columns = zip(*pairs, strict=True)
    return np.array(rows), np.array(columns)


def cholesky_factor(unconstrained: torch.Tensor, size: int) -> torch.Tensor:
    """Return C (..., size, size) for atanh of the partial correlations (..., pairs)."""
    partial = torch.tanh(unconstrained)
    # 1 - tanh^2 without cancellation, in logarithms.
    log_rest = -2 * torch.nn.functional.softplus(2 * unconstrained) + 2 * (
        unconstrained + np.log(2.0)
    )
    rows = [[torch.ones_like(partial[..., 0])]]
    entries = iter(range(partial.shape[-1]))
    for i in range(1, size):
        row: list[torch.Tensor] = []
        logs = torch.zeros_like(partial[..., 0])
        for _, k in zip(range(i), entries, strict=False):
            row.append(partial[..., k] * torch.exp(logs / 2))
            logs = logs + log_rest[..., k]
        rows.append([*row, torch.exp(logs / 2)])
    zero = torch.zeros_like(partial[..., 0])
    filled = [torch.stack([*row, *[zero] * (size - len(row))], dim=-1) for row in rows]
    return torch.stack(filled, dim=-2)


def correlations_of(unconstrained: np.ndarray, size: int) -> np.ndarray:
    """Return the correlations (..., pairs) for atanh of the partial correlations (..., pairs)."""
    factor = cholesky_factor(torch.from_numpy(np.array(unconstrained, dtype=float)), size).numpy()
    matrix = factor @ np.swapaxes(factor, -1, -2)
    rows, columns = pair_indices(size)
    return matrix[..., rows, columns]


def partials(matrix: np.ndarray) -> np.ndarray:
    """Return atanh of the partial correlations (pairs,) of a correlation matrix.

    Raises
    ------
    ValueError
        If the matrix is not positive definite.
    """
    try:
        factor = np.linalg.cholesky(matrix)
    except np.linalg.LinAlgError:
        raise ValueError("these correlations belong to no joint law") from None
    size = len(matrix)
    found = np.zeros(size * (size - 1) // 2)
    for k, (i, j) in enumerate(itertools.chain(*[[(i, j) for j in range(i)] for i in range(size)])):
        rest = 1.0 - np.sum(factor[i, :j] ** 2)
        found[k] = np.clip(factor[i, j] / np.sqrt(rest), -1 + _INSIDE, 1 - _INSIDE)
    return np.arctanh(found)
