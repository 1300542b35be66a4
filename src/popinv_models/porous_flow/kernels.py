"""Compiled loops and LAPACK calls of porous medium flow.

Each loop treats the rows of a batch one by one and sums in a fixed order, so that a row's result
does not depend, in any bit, on the rest of the batch.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.linalg import lapack

from popinv.store.compiled import njit
from popinv_models.finite_elements.banded import Factors, factorise, place, solve_factorised

_ALIGNMENT = 64
_EPSILON = 2.0**-52


def aligned_rows(rows: int, length: int) -> np.ndarray:
    """Array of shape (rows, at least length) with each row at a multiple of 64 bytes."""
    per_line = _ALIGNMENT // 8
    stride = -(-length // per_line) * per_line
    raw = np.empty(rows * stride + per_line)
    skip = -(raw.ctypes.data // 8) % per_line
    return raw[skip : skip + rows * stride].reshape(rows, stride)


def solve_tridiagonal(matrix: np.ndarray, vector: np.ndarray, unknowns: int) -> int:
    """Solve one system in one dimension; the matrix is destroyed, the vector is the solution.

    Returns
    -------
    int
        0, or the number (from 1) of the first pivot that is not positive.
    """
    *_, info = lapack.dptsv(
        matrix[:unknowns],
        matrix[unknowns : 2 * unknowns - 1],
        vector[:unknowns],
        overwrite_d=1,
        overwrite_e=1,
        overwrite_b=1,
    )
    return int(info)


def solve_wide(matrix: np.ndarray, vector: np.ndarray, bandwidth: int) -> int:
    """Solve one system of a wide band by LAPACK, as `solve_tridiagonal` does one of a narrow band.

    ``matrix`` begins with the lower band, column after column, at a multiple of 64 bytes, so that
    LAPACK's kernels take the same path for all systems.
    """
    n = len(vector)
    # The lower triangle: about six times faster here than the upper one.
    band = matrix[: n * (bandwidth + 1)].reshape(n, bandwidth + 1).T
    *_, info = lapack.dpbsv(band, vector, lower=1, overwrite_ab=1, overwrite_b=1)
    return int(info)


@njit
def solve_banded(
    entries: np.ndarray, rows: np.ndarray, columns: np.ndarray, factors: Factors, vector: np.ndarray
) -> int:
    """Solve one system, given the lower triangle of its matrix; the vector is the solution.

    Returns
    -------
    int
        0, or the number (from 1) of the first pivot that is not positive and finite.
    """
    place(entries, rows, columns, factors)
    failed = factorise(factors)
    if failed == 0:
        solve_factorised(factors, vector)
    return failed


@njit
def exponentiate(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Replace values by their exponentials; smallest and largest of each row, NaN if any is."""
    lowest = np.full(values.shape[0], np.inf)
    highest = np.full(values.shape[0], -np.inf)
    for i in range(values.shape[0]):
        for c in range(values.shape[1]):
            value = math.exp(values[i, c])
            values[i, c] = value
            if not value >= lowest[i]:
                lowest[i] = value
            if not value <= highest[i]:
                highest[i] = value
            if math.isnan(value):
                lowest[i] = highest[i] = value
                break
    return lowest, highest


@njit
def fill(entries: np.ndarray, slots: np.ndarray, matrices: np.ndarray) -> None:
    """Put the entries of a batch into the buffers of its matrices."""
    for i in range(entries.shape[0]):
        matrices[i, :] = 0.0
        for s in range(slots.shape[0]):
            matrices[i, slots[s]] = entries[i, s]


@njit(error_model="numpy")
def rounding_bounds(
    entries: np.ndarray,
    rows: np.ndarray,
    columns: np.ndarray,
    vectors: np.ndarray,
    load: np.ndarray,
) -> np.ndarray:
    """Bound on the relative rounding error of each computed solution.

    The computed u solves A u = b + r with abs(r) of the size of eps abs(A) abs(u). A is an
    M-matrix, so A^{-1} >= 0, and for b > 0 the error is at most

        A^{-1} abs(r) <= max_i(abs(r_i) / b_i) A^{-1} b,

    which is max_i(abs(r_i) / b_i) relative to the solution, in every component. This is what
    becomes large if the permeability varies too strongly: abs(A) abs(u) is then far above b.

    Parameters
    ----------
    entries : ndarray of shape (n, n_slots)
        Lower triangles of the matrices.
    rows, columns : ndarray of int, shape (n_slots,)
        Place of each entry.
    vectors : ndarray of shape (n, at least unknowns)
        Solutions.
    load : ndarray of shape (unknowns,)
        b, not negative.

    Returns
    -------
    ndarray of shape (n,)
        Infinite where the solution is not finite.
    """
    bounds = np.zeros(entries.shape[0])
    total = np.empty(load.shape[0])
    for i in range(entries.shape[0]):
        total[:] = 0.0
        for s in range(entries.shape[1]):
            entry = abs(entries[i, s])
            total[rows[s]] += entry * abs(vectors[i, columns[s]])
            if rows[s] != columns[s]:
                total[columns[s]] += entry * abs(vectors[i, rows[s]])
        for j in range(load.shape[0]):
            if total[j] != 0.0:  # the solution of a zero source is exactly zero
                bound = _EPSILON * total[j] / load[j]
                if math.isnan(bound):
                    bounds[i] = np.inf
                    break
                bounds[i] = max(bounds[i], bound)
    return bounds


@njit
def observe(
    vectors: np.ndarray,
    pointer: np.ndarray,
    columns: np.ndarray,
    weights: np.ndarray,
    values: np.ndarray,
) -> None:
    """Multiply each solution with the observation matrix."""
    for i in range(vectors.shape[0]):
        for s in range(pointer.shape[0] - 1):
            total = 0.0
            for t in range(pointer[s], pointer[s + 1]):
                total += weights[t] * vectors[i, columns[t]]
            values[i, s] = total


@njit
def invert_kirchhoff(values: np.ndarray, kind: int, exponent: float) -> None:
    """Replace v = K(u) by u."""
    for i in range(values.shape[0]):
        for s in range(values.shape[1]):
            v = values[i, s]
            if kind == 1:
                values[i, s] = 2.0 * math.sinh(math.asinh(1.5 * v) / 3.0)
            elif kind == 2:
                u = ((exponent + 1.0) * abs(v)) ** (1.0 / (exponent + 1.0))
                values[i, s] = math.copysign(u, v)
