"""Compiled loops of elastodynamics, one system at a time.

Every sum runs in an order that is fixed when the loop is compiled, over one system alone, so that
its result does not depend, in any bit, on the other systems of a batch.

A factorised matrix A = L D L^T lies in panels of four columns each, `Factors`. A panel is
subtracted from a vector in one pass, which takes a quarter of the reads and writes of column after
column. Loops that run often take no slices but of whole panels: what Numba spends on a slice
depends on the processor (see ``docs/benchmarks.md``).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numba
import numpy as np

__all__ = [
    "Factors",
    "assemble",
    "empty_factors",
    "factorise",
    "inner_product",
    "march",
    "quadratic_form",
    "solve_factorised",
    "step_forward",
]

_PANEL = 4
_REORDERED = {"reassoc", "contract"}


class Factors(NamedTuple):
    """Room for A = L D L^T with ``bandwidth`` subdiagonals, in panels of columns.

    Parameters
    ----------
    below : ndarray of shape (n_panels, 4, width)
        Entries of L below a panel's own square: ``below[p, k, i]`` is L[4 p + 4 + i, 4 p + k].
    squares : ndarray of shape (n_panels, 4, 4)
        The inverse of each panel's unit triangle: ``squares[p, k, l]`` is entry (l, k).
    pivots : ndarray of shape (4 n_panels,)
        1 / D.
    vector : ndarray of shape (4 n_panels + width,)
        Scratch: the right-hand side and then the solution.
    """

    below: np.ndarray
    squares: np.ndarray
    pivots: np.ndarray
    vector: np.ndarray


def empty_factors(unknowns: int, bandwidth: int) -> Factors:
    """Return arrays for the results of `factorise`."""
    count, width = -(-unknowns // _PANEL), max(_PANEL, bandwidth)
    width = -(-width // 8) * 8 if width > _PANEL else width
    return Factors(
        np.zeros((count, _PANEL, width)),
        np.zeros((count, _PANEL, _PANEL)),
        np.ones(count * _PANEL),
        np.zeros(count * _PANEL + width),
    )


@numba.njit(nogil=True, cache=True)
def assemble(
    coefficient: np.ndarray, pointer: np.ndarray, cells: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Entries of a `LowerTriangle` for one coefficient per cell."""
    entries = np.empty(pointer.shape[0] - 1)
    for s in range(entries.shape[0]):
        total = 0.0
        for t in range(pointer[s], pointer[s + 1]):
            total += weights[t] * coefficient[cells[t]]
        entries[s] = total
    return entries


@numba.njit(nogil=True, cache=True, fastmath=_REORDERED)
def _subtract_columns(
    target: np.ndarray, panel: np.ndarray, first: int, m0: float, m1: float, m2: float, m3: float
) -> None:
    """Subtract multiples of a panel's columns, from row ``first`` on."""
    source = panel[:, first:]
    for i in range(source.shape[1]):
        target[i] -= (source[0, i] * m0 + source[1, i] * m1) + (
            source[2, i] * m2 + source[3, i] * m3
        )


@numba.njit(nogil=True, cache=True)
def factorise(
    entries: np.ndarray, rows: np.ndarray, columns: np.ndarray, unknowns: int, factors: Factors
) -> int:
    """Factorise A = L D L^T, Cholesky's factorisation without square roots.

    Parameters
    ----------
    entries, rows, columns : ndarray of shape (n_entries,)
        Lower triangle of A.
    unknowns : int
    factors : Factors
        Receives L and D.

    Returns
    -------
    int
        0, or the number (from 1) of the first pivot that is not positive and finite.
    """
    below, squares, pivots = factors.below, factors.squares, factors.pivots
    count, width = below.shape[0], below.shape[2]
    # Row j holds column j from the diagonal on. What stands to the right of a column's last entry
    # is zero, and so is what is subtracted there.
    band = np.zeros((count * _PANEL + width, width + _PANEL))
    for s in range(entries.shape[0]):
        band[columns[s], rows[s] - columns[s]] = entries[s]
    pivot = np.ones(_PANEL)
    for p in range(count):
        start = p * _PANEL
        for k in range(_PANEL):
            j = start + k
            pivots[j] = 1.0
            if j >= unknowns:
                continue
            pivot[k] = band[j, 0]
            if not (pivot[k] > 0.0 and pivot[k] < math.inf):
                return j + 1
            pivots[j] = 1.0 / pivot[k]
            for c in range(1, _PANEL - k):
                multiple = band[j, c] / pivot[k]
                for i in range(c, width + 1):
                    band[j + c, i - c] -= multiple * band[j, i]
        panel = below[p]
        for k in range(_PANEL):
            # L itself, divided by its pivot; multiplied with it in the update that follows.
            for i in range(width):
                row = i + _PANEL - k
                panel[k, i] = band[start + k, row] / pivot[k] if row <= width else 0.0
        _invert_triangle(band, start, pivot, squares[p])
        for i in range(width):
            m0, m1 = panel[0, i] * pivot[0], panel[1, i] * pivot[1]
            m2, m3 = panel[2, i] * pivot[2], panel[3, i] * pivot[3]
            if m0 != 0.0 or m1 != 0.0 or m2 != 0.0 or m3 != 0.0:
                _subtract_columns(band[start + _PANEL + i], panel, i, m0, m1, m2, m3)
    return 0


@numba.njit(nogil=True, cache=True)
def _invert_triangle(band: np.ndarray, start: int, pivot: np.ndarray, inverse: np.ndarray) -> None:
    """Set the inverse of a panel's unit triangle, one column of it after the other."""
    inverse[:, :] = 0.0
    for k in range(_PANEL):
        inverse[k, k] = 1.0
        for row in range(k + 1, _PANEL):
            total = 0.0
            for c in range(k, row):
                total += band[start + c, row - c] / pivot[c] * inverse[k, c]
            inverse[k, row] = -total


@numba.njit(nogil=True, cache=True, fastmath=_REORDERED)
def _subtract_forward(factors: Factors) -> None:
    """Solve L y = x for the vector x of the factors, in place."""
    below, squares, x = factors.below, factors.squares, factors.vector
    for p in range(below.shape[0]):
        start = p * _PANEL
        t, panel, rest = squares[p], below[p], x[start + _PANEL :]
        a0, a1, a2, a3 = x[start], x[start + 1], x[start + 2], x[start + 3]
        a3 += t[0, 3] * a0 + t[1, 3] * a1 + t[2, 3] * a2
        a2 += t[0, 2] * a0 + t[1, 2] * a1
        a1 += t[0, 1] * a0
        x[start + 1], x[start + 2], x[start + 3] = a1, a2, a3
        for i in range(below.shape[2]):
            rest[i] -= (panel[0, i] * a0 + panel[1, i] * a1) + (panel[2, i] * a2 + panel[3, i] * a3)


@numba.njit(nogil=True, cache=True, fastmath=_REORDERED)
def _subtract_backward(factors: Factors) -> None:
    """Solve D L^T x = y for the vector y of the factors, in place."""
    below, squares, pivots, x = factors.below, factors.squares, factors.pivots, factors.vector
    for p in range(below.shape[0] - 1, -1, -1):
        start = p * _PANEL
        t, panel, rest = squares[p], below[p], x[start + _PANEL :]
        s0 = s1 = s2 = s3 = 0.0
        for i in range(below.shape[2]):
            value = rest[i]
            s0 += panel[0, i] * value
            s1 += panel[1, i] * value
            s2 += panel[2, i] * value
            s3 += panel[3, i] * value
        a0, a1 = x[start] * pivots[start] - s0, x[start + 1] * pivots[start + 1] - s1
        a2, a3 = x[start + 2] * pivots[start + 2] - s2, x[start + 3] * pivots[start + 3] - s3
        x[start] = a0 + t[0, 1] * a1 + t[0, 2] * a2 + t[0, 3] * a3
        x[start + 1] = a1 + t[1, 2] * a2 + t[1, 3] * a3
        x[start + 2] = a2 + t[2, 3] * a3
        x[start + 3] = a3


@numba.njit(nogil=True, cache=True)
def solve_factorised(factors: Factors, vector: np.ndarray) -> None:
    """Replace a right-hand side by the solution, given the results of `factorise`."""
    n, x = vector.shape[0], factors.vector
    for i in range(n):
        x[i] = vector[i]
    for i in range(n, x.shape[0]):
        x[i] = 0.0
    _subtract_forward(factors)
    _subtract_backward(factors)
    for i in range(n):
        vector[i] = x[i]


@numba.njit(nogil=True, cache=True)
def inner_product(first: np.ndarray, second: np.ndarray) -> float:
    """Return the sum of products, term after term."""
    total = 0.0
    for i in range(first.shape[0]):
        total += first[i] * second[i]
    return total


@numba.njit(nogil=True, cache=True)
def quadratic_form(
    entries: np.ndarray, rows: np.ndarray, columns: np.ndarray, vector: np.ndarray
) -> float:
    """Return x^T A x for the lower triangle of A."""
    total = 0.0
    for s in range(entries.shape[0]):
        term = entries[s] * vector[rows[s]] * vector[columns[s]]
        total += term if rows[s] == columns[s] else 2.0 * term
    return total


@numba.njit(nogil=True, cache=True, fastmath=_REORDERED)
def _product(
    diagonals: np.ndarray, offsets: np.ndarray, padded: np.ndarray, product: np.ndarray
) -> None:
    """Set the product of a matrix by diagonals, four of them in a pass."""
    n = product.shape[0]
    product[:] = 0.0
    for d in range(0, offsets.shape[0], 4):
        m = diagonals[d : d + 4]
        x0, x1 = padded[offsets[d] :], padded[offsets[d + 1] :]
        x2, x3 = padded[offsets[d + 2] :], padded[offsets[d + 3] :]
        for i in range(n):
            product[i] += (m[0, i] * x0[i] + m[1, i] * x1[i]) + (m[2, i] * x2[i] + m[3, i] * x3[i])


@numba.njit(nogil=True, cache=True, fastmath=_REORDERED)
def step_forward(
    diagonals: np.ndarray,
    offsets: np.ndarray,
    factors: Factors,
    weights: tuple[float, float],
    load: np.ndarray,
    time_step: float,
    padded: np.ndarray,
    displacement: np.ndarray,
    velocity: np.ndarray,
) -> None:
    """Make one step of `march`; ``padded`` is zero outside its inner n entries."""
    n = displacement.shape[0]
    of_mass, of_stiffness = weights
    of_shape = time_step / (2.0 * of_stiffness)
    inside, right = padded[(padded.shape[0] - n) // 2 :], factors.vector
    for i in range(n):
        inside[i] = velocity[i] + of_mass * of_shape * displacement[i]
    _product(diagonals, offsets, padded, right[:n])
    for i in range(n):
        right[i] += 0.5 * time_step * load[i]
    for i in range(n, right.shape[0]):
        right[i] = 0.0
    _subtract_forward(factors)
    _subtract_backward(factors)
    for i in range(n):
        mean_velocity = right[i] - of_shape * displacement[i]
        displacement[i] += time_step * mean_velocity
        velocity[i] = 2.0 * mean_velocity - velocity[i]


@numba.njit(nogil=True, cache=True)
def march(
    diagonals: np.ndarray,
    offsets: np.ndarray,
    factors: Factors,
    weights: tuple[float, float],
    loads: np.ndarray,
    time_step: float,
    displacement: np.ndarray,
    velocity: np.ndarray,
    observation_pointer: np.ndarray,
    observation_columns: np.ndarray,
    observation_weights: np.ndarray,
    steps: int,
    observed: np.ndarray,
) -> None:
    r"""Advance M u'' + C u' + K u = f by Newmark's method with average acceleration.

    With beta = 1/4, gamma = 1/2 and an initial acceleration that satisfies the equation, the
    method is the trapezoidal rule for (u, u'). Its mean velocity over a step,
    w = (v_0 + v_1) / 2, solves

        S w = M v_0 + dt / 2 (f - K u_0),    S = p M + q K,

    with f the mean of the loads at both ends, and
    u_1 = u_0 + dt w, v_1 = 2 w - v_0. With K = (S - p M) / q there is no product with K:

        w = S^{-1} (M (v_0 + p c u_0) + dt / 2 f) - c u_0,    c = dt / (2 q).

    Parameters
    ----------
    diagonals, offsets : ndarray
        The mass matrix by diagonals; see `popinv.forward.elastodynamics.operators`.
    factors : Factors
        The factorised S.
    weights : (float, float)
        p and q.
    loads : ndarray of shape (n_steps or 1, n)
        Mean load of each step, or of all steps.
    time_step : float
    displacement, velocity : ndarray of shape (n,)
        Initial state; on return, the last.
    observation_pointer, observation_columns, observation_weights : ndarray
        Observation matrix by compressed rows.
    steps : int
        Time steps from one observation to the next.
    observed : ndarray of shape (n_places, n_times)
        Receives the displacement at the places after every ``steps`` steps.
    """
    padded = np.zeros(displacement.shape[0] + offsets.max())
    step = 0
    for time in range(observed.shape[1]):
        for _ in range(steps):
            step_forward(
                diagonals,
                offsets,
                factors,
                weights,
                loads[min(step, loads.shape[0] - 1)],
                time_step,
                padded,
                displacement,
                velocity,
            )
            step += 1
        for place in range(observed.shape[0]):
            total = 0.0
            for t in range(observation_pointer[place], observation_pointer[place + 1]):
                total += observation_weights[t] * displacement[observation_columns[t]]
            observed[place, time] = total
