"""Sums over directions of functions that are linear between edges, and beyond them."""

from __future__ import annotations

import numba
import numpy as np


def summed_over_directions(
    projected: np.ndarray, edges: np.ndarray, values: np.ndarray, slopes: np.ndarray
) -> np.ndarray:
    """Return the sums over directions of functions of the projections, shape (n, n_p).

    The place between the edges is searched once for all functions of a direction.

    Parameters
    ----------
    projected : ndarray of shape (K, n)
        Projections of n observations on K directions.
    edges : ndarray of shape (K, bins + 1)
        Increasing.
    values : ndarray of shape (n_p, K, bins + 1)
        The functions at the edges.
    slopes : ndarray of shape (n_p, K, 2)
        Their slopes below the first edge and above the last.
    """
    total = np.zeros((projected.shape[1], len(values)))
    _add(
        np.ascontiguousarray(projected),
        np.ascontiguousarray(edges),
        np.ascontiguousarray(values.transpose(1, 2, 0)),
        np.ascontiguousarray(slopes.transpose(1, 2, 0)),
        total,
    )
    return total


@numba.njit(nogil=True, cache=True)
def _add(
    projected: np.ndarray,
    edges: np.ndarray,
    values: np.ndarray,
    slopes: np.ndarray,
    total: np.ndarray,
) -> None:
    """Add the functions, with values (K, bins + 1, n_p) and slopes (K, 2, n_p) by direction."""
    last, count = edges.shape[1] - 1, total.shape[1]
    for k in range(projected.shape[0]):
        for n in range(projected.shape[1]):
            a = projected[k, n]
            if a < edges[k, 0]:
                for i in range(count):
                    total[n, i] += values[k, 0, i] + slopes[k, 0, i] * (a - edges[k, 0])
            elif a >= edges[k, last]:
                for i in range(count):
                    total[n, i] += values[k, last, i] + slopes[k, 1, i] * (a - edges[k, last])
            else:
                low, high = 0, last
                while high - low > 1:
                    middle = (low + high) // 2
                    if edges[k, middle] <= a:
                        low = middle
                    else:
                        high = middle
                share = (a - edges[k, low]) / (edges[k, high] - edges[k, low])
                for i in range(count):
                    first = values[k, low, i]
                    total[n, i] += first + share * (values[k, high, i] - first)
