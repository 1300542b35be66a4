r"""Porous medium flow in one dimension: a chain of cells between two ends that are held at zero.

In one dimension ``A = D^T diag(g) D`` with the differences D between neighbours and the
conductances ``g_c = kappa_c / h_c``. From ``D^T (g D dv + g da D v) = 0`` follows that the flux
changes by the same f everywhere,

.. math:: (D\, dv)_c = f / g_c - da_c\, (D v)_c, \qquad f = \sum_c da_c (D v)_c / \sum_c 1 / g_c ,

so that a tangent is a sum along the interval, and needs no solve.

A row that has no solution is given numbers without meaning, or none; the callers know them.
"""

from __future__ import annotations

import numba
import numpy as np


@numba.njit(nogil=True, cache=True, error_model="numpy")
def factorise(matrices: np.ndarray, unknowns: int) -> np.ndarray:
    """Replace each matrix by the factors of L D L^T; return which are not positive definite.

    Parameters
    ----------
    matrices : ndarray of shape (n, at least 2 unknowns)
        Diagonal, then subdiagonal, of each. Becomes D, then the subdiagonal of L.
    """
    failed = np.zeros(matrices.shape[0], dtype=np.bool_)
    for i in range(matrices.shape[0]):
        matrix = matrices[i]
        for c in range(unknowns - 1):
            below = matrix[unknowns + c]
            matrix[unknowns + c] = below / matrix[c]
            matrix[c + 1] -= matrix[unknowns + c] * below
        for c in range(unknowns):
            if not matrix[c] > 0.0:
                failed[i] = True
    return failed


@numba.njit(nogil=True, cache=True, error_model="numpy")
def solve(matrices: np.ndarray, sides: np.ndarray) -> None:
    """Replace right-hand sides (n, k, unknowns) by the solutions, with the factors from above."""
    unknowns = sides.shape[2]
    for i in range(sides.shape[0]):
        matrix = matrices[i]
        for k in range(sides.shape[1]):
            side = sides[i, k]
            for c in range(1, unknowns):
                side[c] -= matrix[unknowns + c - 1] * side[c - 1]
            side[unknowns - 1] /= matrix[unknowns - 1]
            for c in range(unknowns - 2, -1, -1):
                side[c] = side[c] / matrix[c] - matrix[unknowns + c] * side[c + 1]


@numba.njit(nogil=True, cache=True, error_model="numpy")
def observed_changes(
    cells: np.ndarray,
    weights: np.ndarray,
    kappa: np.ndarray,
    solutions: np.ndarray,
    da: np.ndarray,
    pointer: np.ndarray,
    columns: np.ndarray,
    observation_weights: np.ndarray,
    along: np.ndarray,
) -> None:
    """Write the changes of the observations of v.

    Parameters
    ----------
    cells, weights : ndarray of shape (unknowns + 1,)
        :attr:`popinv.forward.porous_flow.operators.PorousOperators.chain`.
    kappa : ndarray of shape (n, n_cells)
    solutions : ndarray of shape (n, unknowns)
    da : ndarray of shape (k, n, n_cells)
        Changes of the logarithm of kappa.
    pointer, columns, observation_weights : ndarray
        The observation matrix by compressed rows.
    along : ndarray of shape (k, n, d_y)
        The output.
    """
    n, unknowns = solutions.shape
    drop, resistance = np.empty(unknowns + 1), np.empty(unknowns + 1)
    dv = np.empty(unknowns)
    for i in range(n):
        total, before = 0.0, 0.0
        for c in range(unknowns + 1):
            here = solutions[i, c] if c < unknowns else 0.0
            drop[c] = here - before
            before = here
            resistance[c] = 1.0 / (kappa[i, cells[c]] * weights[c])
            total += resistance[c]
        for k in range(da.shape[0]):
            flux = 0.0
            for c in range(unknowns + 1):
                flux += da[k, i, cells[c]] * drop[c]
            flux /= total
            change = 0.0
            for c in range(unknowns):
                change += flux * resistance[c] - da[k, i, cells[c]] * drop[c]
                dv[c] = change
            for s in range(pointer.shape[0] - 1):
                value = 0.0
                for t in range(pointer[s], pointer[s + 1]):
                    value += observation_weights[t] * dv[columns[t]]
                along[k, i, s] = value
