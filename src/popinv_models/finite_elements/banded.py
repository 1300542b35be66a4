"""Symmetric positive definite matrices of narrow band: factorisation and solves, compiled.

A = L D L^T is computed, Cholesky's factorisation without square roots, in panels of eight columns.
A panel is subtracted from a column, or from a right-hand side, in one pass over it: LAPACK's
routines for so narrow a band go column by column, with eight times the reads and writes.

Every sum runs in an order that is fixed when the loop is compiled, over one system alone: a result
does not depend, in any bit, on other systems. All loops run over multiples of eight numbers, with
zeros where the matrix ends.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from popinv.store.compiled import njit

_PANEL = 8
# Rows of a panel that are copied together, and the distance of its columns in the copy: known when
# the loop is compiled, so that the compiler checks the columns for overlap with a target at once.
_ROWS, _APART = 256, 264
# Unsigned: Numba takes other numbers for places that may be counted from the end.
_1, _2, _3, _4, _5, _6, _7 = (np.uint64(k * _APART) for k in range(1, 8))
_REORDERED = {"reassoc", "contract"}


class Factors(NamedTuple):
    """Room for a matrix and its factors, to be used for one system after the other.

    Parameters
    ----------
    band : ndarray of shape (columns, width + 8)
        Column c of the lower triangle, from the first row of its panel on: entry (r, c) is
        ``band[c, r - 8 (c // 8)]``. First A, then L; what stands above the diagonal is not used.
    squares : ndarray of shape (n_panels, 8, 8)
        The inverse of each panel's unit triangle: ``squares[p, k, l]`` is entry (l, k).
    pivots : ndarray of shape (8 n_panels,)
        1 / D.
    vector : ndarray of shape (8 n_panels + width,)
        The right-hand side and then the solution; zero beyond the unknowns.
    """

    band: np.ndarray
    squares: np.ndarray
    pivots: np.ndarray
    vector: np.ndarray


def empty_factors(unknowns: int, bandwidth: int) -> Factors:
    """Return room for matrices with ``bandwidth`` subdiagonals."""
    count, width = -(-unknowns // _PANEL), max(1, -(-bandwidth // _PANEL)) * _PANEL
    return Factors(
        np.zeros((count * _PANEL + width, width + _PANEL)),
        np.zeros((count, _PANEL, _PANEL)),
        np.ones(count * _PANEL),
        np.zeros(count * _PANEL + width),
    )


@njit
def place(entries: np.ndarray, rows: np.ndarray, columns: np.ndarray, factors: Factors) -> None:
    """Put the entries (n_entries,) of a matrix's lower triangle where `factorise` takes them."""
    band, unknowns = factors.band, 0
    band[:, :] = 0.0
    for s in range(entries.shape[0]):
        c = columns[s]
        band[c, rows[s] - c + c % _PANEL] = entries[s]
        unknowns = max(unknowns, rows[s] + 1)
    for c in range(unknowns, factors.pivots.shape[0]):
        band[c, c % _PANEL] = 1.0


@njit(fastmath=_REORDERED)
def _factorise_half(
    flat: np.ndarray, panel: int, apart: int, first: int, pivots: np.ndarray
) -> int:
    """Eliminate within four columns of a panel; return 0, or the number of the bad pivot.

    Column k of the panel begins at ``panel + k apart`` in ``flat``.
    """
    length = np.uint64(apart)
    for k in range(first, first + 4):
        source = np.uint64(panel + k * apart)
        pivot = flat[source + np.uint64(k)]
        if not (pivot > 0.0 and pivot < math.inf):
            return k + 1
        pivots[k] = 1.0 / pivot
        for c in range(k + 1, first + 4):
            target = np.uint64(panel + c * apart)
            multiple = flat[source + np.uint64(c)] * pivots[k]
            for i in range(length):
                flat[target + i] -= multiple * flat[source + i]
    return 0


@njit(fastmath=_REORDERED)
def _subtract_half(flat: np.ndarray, panel: int, apart: int, pivots: np.ndarray) -> None:
    """Subtract the first four columns of a panel from its other four."""
    length, between = np.uint64(apart), np.uint64(apart)
    s0 = np.uint64(panel)
    s1, s2, s3 = s0 + between, s0 + between + between, s0 + between + between + between
    for c in range(4, _PANEL):
        at, target = np.uint64(c), np.uint64(panel + c * apart)
        m0, m1 = flat[s0 + at] * pivots[0], flat[s1 + at] * pivots[1]
        m2, m3 = flat[s2 + at] * pivots[2], flat[s3 + at] * pivots[3]
        for i in range(length):
            flat[target + i] -= (flat[s0 + i] * m0 + flat[s1 + i] * m1) + (
                flat[s2 + i] * m2 + flat[s3 + i] * m3
            )


@njit(fastmath=_REORDERED)
def _subtract_panel(
    flat: np.ndarray, panel: int, apart: int, pivots: np.ndarray, copied: np.ndarray
) -> None:
    """Subtract a panel, columns not yet divided by their pivots, from the columns after it."""
    v0, v1, v2, v3 = pivots[0], pivots[1], pivots[2], pivots[3]
    v4, v5, v6, v7 = pivots[4], pivots[5], pivots[6], pivots[7]
    for top in range(_PANEL, apart, _ROWS):
        end = min(top + _ROWS, apart)
        for k in range(_PANEL):
            source, place = np.uint64(panel + k * apart + top), np.uint64(k * _APART)
            for i in range(np.uint64(end - top)):
                copied[place + i] = flat[source + i]
        for c in range(_PANEL, end):
            group = c // _PANEL * _PANEL
            first = max(group, top)
            of = panel + c
            m0, m1 = flat[of] * v0, flat[of + apart] * v1
            m2, m3 = flat[of + 2 * apart] * v2, flat[of + 3 * apart] * v3
            m4, m5 = flat[of + 4 * apart] * v4, flat[of + 5 * apart] * v5
            m6, m7 = flat[of + 6 * apart] * v6, flat[of + 7 * apart] * v7
            target = np.uint64(panel + c * apart + first - group)
            s = np.uint64(first - top)
            for i in range(np.uint64(end - first)):
                flat[target + i] -= (
                    (copied[s + i] * m0 + copied[s + i + _1] * m1)
                    + (copied[s + i + _2] * m2 + copied[s + i + _3] * m3)
                ) + (
                    (copied[s + i + _4] * m4 + copied[s + i + _5] * m5)
                    + (copied[s + i + _6] * m6 + copied[s + i + _7] * m7)
                )


@njit
def factorise(factors: Factors) -> int:
    """Factorise the matrix that was put in place.

    Returns
    -------
    int
        0, or the number (from 1) of the first pivot that is not positive and finite.
    """
    band, squares, pivots = factors.band, factors.squares, factors.pivots
    flat, apart, copied = band.reshape(-1), band.shape[1], np.empty(_PANEL * _APART)
    for p in range(squares.shape[0]):
        start = p * _PANEL
        panel, inverse = start * apart, pivots[start : start + _PANEL]
        bad = _factorise_half(flat, panel, apart, 0, inverse)
        if bad > 0:
            return start + bad
        _subtract_half(flat, panel, apart, inverse)
        bad = _factorise_half(flat, panel, apart, 4, inverse)
        if bad > 0:
            return start + bad
        _subtract_panel(flat, panel, apart, inverse, copied)
        for k in range(_PANEL):
            for i in range(apart):
                band[start + k, i] *= inverse[k]
        _invert_triangle(band[start : start + _PANEL], squares[p])
    return 0


@njit
def _invert_triangle(panel: np.ndarray, inverse: np.ndarray) -> None:
    """Set the inverse of a panel's unit triangle, one column of it after the other."""
    for k in range(_PANEL):
        for row in range(k):
            inverse[k, row] = 0.0
        inverse[k, k] = 1.0
        for row in range(k + 1, _PANEL):
            total = 0.0
            for c in range(k, row):
                total += panel[c, row] * inverse[k, c]
            inverse[k, row] = -total


@njit
def _eight(of: np.ndarray) -> tuple[float, ...]:
    return of[0], of[1], of[2], of[3], of[4], of[5], of[6], of[7]


@njit(fastmath=_REORDERED)
def _forward(factors: Factors) -> None:
    """Solve L y = x for the vector x of the factors, in place."""
    band, squares, x = factors.band, factors.squares, factors.vector
    width = band.shape[1] - _PANEL
    for p in range(squares.shape[0]):
        start = p * _PANEL
        t, here = squares[p], x[start : start + _PANEL]
        x0, x1, x2, x3, x4, x5, x6, x7 = _eight(here)
        y0 = x0
        y1 = t[0, 1] * x0 + x1
        y2 = t[0, 2] * x0 + t[1, 2] * x1 + x2
        y3 = t[0, 3] * x0 + t[1, 3] * x1 + t[2, 3] * x2 + x3
        y4 = t[0, 4] * x0 + t[1, 4] * x1 + t[2, 4] * x2 + t[3, 4] * x3 + x4
        y5 = t[0, 5] * x0 + t[1, 5] * x1 + t[2, 5] * x2 + t[3, 5] * x3 + t[4, 5] * x4 + x5
        y6 = (
            t[0, 6] * x0
            + t[1, 6] * x1
            + t[2, 6] * x2
            + t[3, 6] * x3
            + t[4, 6] * x4
            + t[5, 6] * x5
            + x6
        )
        y7 = (
            t[0, 7] * x0
            + t[1, 7] * x1
            + t[2, 7] * x2
            + t[3, 7] * x3
            + t[4, 7] * x4
            + t[5, 7] * x5
            + t[6, 7] * x6
            + x7
        )
        here[0], here[1], here[2], here[3] = y0, y1, y2, y3
        here[4], here[5], here[6], here[7] = y4, y5, y6, y7
        panel, rest = band[start : start + _PANEL], x[start + _PANEL :]
        c0, c1, c2, c3 = panel[0][_PANEL:], panel[1][_PANEL:], panel[2][_PANEL:], panel[3][_PANEL:]
        c4, c5, c6, c7 = panel[4][_PANEL:], panel[5][_PANEL:], panel[6][_PANEL:], panel[7][_PANEL:]
        # Eight columns are as many as the compiler checks for overlap with what they change.
        for i in range(width):
            one = (c0[i] * y0 + c1[i] * y1) + (c2[i] * y2 + c3[i] * y3)
            other = (c4[i] * y4 + c5[i] * y5) + (c6[i] * y6 + c7[i] * y7)
            rest[i] -= one + other


@njit(fastmath=_REORDERED)
def _backward(factors: Factors) -> None:
    """Solve D L^T x = y for the vector y of the factors, in place."""
    band, squares, pivots, x = factors
    width = band.shape[1] - _PANEL
    for p in range(squares.shape[0] - 1, -1, -1):
        start = p * _PANEL
        panel, rest = band[start : start + _PANEL], x[start + _PANEL :]
        c0, c1, c2, c3 = panel[0][_PANEL:], panel[1][_PANEL:], panel[2][_PANEL:], panel[3][_PANEL:]
        c4, c5, c6, c7 = panel[4][_PANEL:], panel[5][_PANEL:], panel[6][_PANEL:], panel[7][_PANEL:]
        s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = 0.0
        for i in range(width):
            value = rest[i]
            s0 += c0[i] * value
            s1 += c1[i] * value
            s2 += c2[i] * value
            s3 += c3[i] * value
            s4 += c4[i] * value
            s5 += c5[i] * value
            s6 += c6[i] * value
            s7 += c7[i] * value
        t, here = squares[p], x[start : start + _PANEL]
        d0, d1, d2, d3, d4, d5, d6, d7 = _eight(pivots[start : start + _PANEL])
        x0, x1, x2, x3, x4, x5, x6, x7 = _eight(here)
        y0, y1 = x0 * d0 - s0, x1 * d1 - s1
        y2, y3 = x2 * d2 - s2, x3 * d3 - s3
        y4, y5 = x4 * d4 - s4, x5 * d5 - s5
        y6, y7 = x6 * d6 - s6, x7 * d7 - s7
        here[0] = (
            y0
            + t[0, 1] * y1
            + t[0, 2] * y2
            + t[0, 3] * y3
            + t[0, 4] * y4
            + t[0, 5] * y5
            + t[0, 6] * y6
            + t[0, 7] * y7
        )
        here[1] = (
            y1
            + t[1, 2] * y2
            + t[1, 3] * y3
            + t[1, 4] * y4
            + t[1, 5] * y5
            + t[1, 6] * y6
            + t[1, 7] * y7
        )
        here[2] = y2 + t[2, 3] * y3 + t[2, 4] * y4 + t[2, 5] * y5 + t[2, 6] * y6 + t[2, 7] * y7
        here[3] = y3 + t[3, 4] * y4 + t[3, 5] * y5 + t[3, 6] * y6 + t[3, 7] * y7
        here[4] = y4 + t[4, 5] * y5 + t[4, 6] * y6 + t[4, 7] * y7
        here[5] = y5 + t[5, 6] * y6 + t[5, 7] * y7
        here[6] = y6 + t[6, 7] * y7
        here[7] = y7


@njit
def solve_inside(factors: Factors) -> None:
    """Replace the vector of the factors by the solution."""
    _forward(factors)
    _backward(factors)


@njit
def solve_factorised(factors: Factors, vector: np.ndarray) -> None:
    """Replace a right-hand side (n,) by the solution, given the result of `factorise`."""
    n, x = vector.shape[0], factors.vector
    for i in range(n):
        x[i] = vector[i]
    # A system before it may have overflowed.
    for i in range(n, x.shape[0]):
        x[i] = 0.0
    solve_inside(factors)
    for i in range(n):
        vector[i] = x[i]
