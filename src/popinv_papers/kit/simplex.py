"""Weights on the simplex: projection, and least norm."""

from __future__ import annotations

import numpy as np

from popinv.errors import ConfigError

_TOLERANCE = 1e-12


def project(w: np.ndarray) -> np.ndarray:
    """Return the nearest point with w_k >= 0 and sum 1 (by sorting and thresholding), (K,)."""
    ordered = np.sort(w)[::-1]
    excess = (np.cumsum(ordered) - 1) / np.arange(1, len(w) + 1)
    last = np.flatnonzero(ordered > excess)[-1]
    return np.maximum(w - excess[last], 0)


def least_norm(gram: np.ndarray) -> np.ndarray:
    """Return argmin w^T Q w over the simplex, by Wolfe's method, (K,).

    Q is the Gram matrix of K vectors, and the minimum is the point of least norm in their convex
    hull. An active set grows by the vector that lies least beyond the current point, and shrinks
    if the affine minimiser leaves the simplex. It ends after finitely many steps.

    Parameters
    ----------
    gram : ndarray of shape (K, K)
        Symmetric, positive semi-definite up to rounding.

    Raises
    ------
    ConfigError
        If Q is not a square matrix of finite numbers.
    """
    gram = np.asarray(gram, dtype=float)
    if gram.ndim != 2 or gram.shape[0] != gram.shape[1] or not np.isfinite(gram).all():
        raise ConfigError(f"a Gram matrix is square and finite, got the shape {gram.shape}")
    count = len(gram)
    scale = max(float(np.trace(gram)) / count, np.finfo(float).tiny)
    w = np.zeros(count)
    w[np.argmin(np.diag(gram))] = 1
    for _ in range(20 * count):
        products = gram @ w
        entering = int(np.argmin(products))
        if products[entering] >= w @ products - _TOLERANCE * scale or w[entering] > 0:
            break
        active = np.append(np.flatnonzero(w > 0), entering)
        while True:
            affine = _affine_minimiser(gram[np.ix_(active, active)])
            if (affine > _TOLERANCE).all():
                w = np.zeros(count)
                w[active] = affine
                break
            now = w[active]
            falling = affine <= _TOLERANCE
            share = np.min(now[falling] / np.maximum(now[falling] - affine[falling], _TOLERANCE))
            moved = now + min(1.0, float(share)) * (affine - now)
            moved[moved <= _TOLERANCE] = 0
            w = np.zeros(count)
            w[active] = moved / moved.sum()
            active = np.flatnonzero(w > 0)
            if len(active) == 1:
                break
    return w


def _affine_minimiser(gram: np.ndarray) -> np.ndarray:
    """Return argmin v^T Q v with sum 1 and any signs; the shortest if there are several."""
    count = len(gram)
    system = np.zeros((count + 1, count + 1))
    system[:count, :count] = gram / max(np.abs(gram).max(), np.finfo(float).tiny)
    system[:count, count] = system[count, :count] = 1
    right = np.zeros(count + 1)
    right[count] = 1
    return np.linalg.lstsq(system, right, rcond=None)[0][:count]
