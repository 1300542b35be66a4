"""Sliced Wasserstein distances between samples, with gradients.

In one dimension optimal transport is sorting. The sliced distance of two samples in R^d is
the mean, over directions theta on the unit sphere, of the one-dimensional distance of their
projections,

    SW_2^2(x, y) = (1/K) sum_k W_2^2( <x, theta_k>, <y, theta_k> ),

The whitened distance, on which the deconvolution descends, replaces theta by the columns of
U = L^{-T} Theta with Gamma = L L^T. `popinv.transport.rows` does the work, row by row.

A sliced, whitened, squared loss of this form comes from the work of Vadeboncoeur, Girolami and
Stuart on populational inverse problems with known noise (arXiv 2405.17955), which precedes their
deconvolution (arXiv 2505.19841). The implementation and the orthogonal directions are this
project's own.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from popinv.late import torch
from popinv.store.compiled import njit
from popinv.transport.rows import check_rows, in_blocks, mean_over_directions
from popinv.transport.sorting import sort_rows


def directions(generator: np.random.Generator, count: int, dimension: int) -> NDArray[np.float64]:
    """Draw random directions, each uniform on the unit sphere, orthogonal within blocks.

    A block of `dimension` directions is the Q of a Gaussian matrix's QR factorisation. Its signs
    are set so that R has a positive diagonal, which makes Q uniform over rotations. Within a block
    sum_k theta_k theta_k^T = I, so any quadratic in theta is averaged without error. This reduces
    the variance compared with independent directions.

    Parameters
    ----------
    generator : numpy.random.Generator
        Source of randomness.
    count : int
        Number of directions K, at least 1. The last block is truncated when K is not a multiple
        of the dimension.
    dimension : int
        Dimension d of the space, at least 1.

    Returns
    -------
    ndarray of shape (dimension, count)

    Raises
    ------
    ValueError
        If `count` or `dimension` is below 1.
    """
    if count < 1 or dimension < 1:
        raise ValueError(
            f"count and dimension must be at least 1, got count={count}, dimension={dimension}"
        )
    blocks = -(-count // dimension)
    q, r = np.linalg.qr(generator.standard_normal((blocks, dimension, dimension)))
    q *= np.sign(np.diagonal(r, axis1=1, axis2=2))[:, None, :]
    columns = q.transpose(1, 0, 2).reshape(dimension, blocks * dimension)
    return np.ascontiguousarray(columns[:, :count])


# --- one-dimensional squared Wasserstein distance ------------------------------------------------


@lru_cache(maxsize=32)
def quantile_plan(
    n: int, m: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Return the optimal coupling of n and m sorted points of equal weight, in exact integers.

    The quantile functions are steps that change at i/n and at j/m. Between two changes, a piece
    of mass goes from one data point to one model point. There are at most n + m - gcd(n, m) pieces.
    They depend on the sizes alone, not on the points.

    Parameters
    ----------
    n, m : int
        Sizes of the two samples, at least 1.

    Returns
    -------
    source, target : ndarray of int64, shape (pieces,)
        Rank in the first and in the second sample. Read-only, as the plan is cached.
    weight : ndarray of float64, shape (pieces,)
        Mass of each piece; the sum is 1.
    """
    ends = np.union1d(np.arange(1, n + 1) * m, np.arange(1, m + 1) * n)  # in units of 1/(n m)
    starts = np.concatenate([[0], ends[:-1]])
    plan = (starts // m, starts // n, (ends - starts) / (n * m))
    for array in plan:
        array.flags.writeable = False
    return plan


# Reassociation lets the sum be vectorised. It is fixed at compilation, so the bits of the result
# depend on the machine but not on the run.
@njit(fastmath={"reassoc", "contract"})
def _couple_equal(
    data: np.ndarray, model: np.ndarray, values: np.ndarray, slopes: np.ndarray
) -> None:
    size = data.shape[1]
    factor = data.dtype.type(2.0 / size)
    for k in range(data.shape[0]):
        total = 0.0
        for i in range(size):
            gap = model[k, i] - data[k, i]
            total += np.float64(gap) * gap
            slopes[k, i] = factor * gap
        values[k] = total / size


@njit
def _couple_plan(
    data: np.ndarray,
    model: np.ndarray,
    source: np.ndarray,
    target: np.ndarray,
    weight: np.ndarray,
    values: np.ndarray,
    data_slopes: np.ndarray,
    model_slopes: np.ndarray,
) -> None:
    for k in range(data.shape[0]):
        total = 0.0
        data_slopes[k] = 0.0
        model_slopes[k] = 0.0
        for s in range(source.size):
            i = source[s]
            j = target[s]
            gap = model[k, j] - data[k, i]
            push = 2.0 * weight[s] * gap
            total += weight[s] * gap * gap
            data_slopes[k, i] -= push
            model_slopes[k, j] += push
        values[k] = total


def _couple(
    data: NDArray[Any], model: NDArray[Any]
) -> tuple[NDArray[np.float64], NDArray[Any], NDArray[Any]]:
    """Compute the squared W_2 of sorted rows (K, n) and (K, m), with derivatives in sorted order.

    Equal sizes couple rank to rank; unequal sizes follow `quantile_plan`.
    """
    n, m = data.shape[1], model.shape[1]
    values = np.empty(data.shape[0])
    model_slopes = np.empty_like(model)
    if n == m:
        _couple_equal(data, model, values, model_slopes)
        return values, -model_slopes, model_slopes
    data_slopes = np.empty_like(data)
    _couple_plan(data, model, *quantile_plan(n, m), values, data_slopes, model_slopes)
    return values, data_slopes, model_slopes


@njit
def _scatter(order: np.ndarray, slopes: np.ndarray, scale: float, out: np.ndarray) -> None:
    for k in range(order.shape[0]):
        for i in range(order.shape[1]):
            out[k, order[k, i]] = scale * slopes[k, i]


def wasserstein_rows(
    data: NDArray[Any],
    model: NDArray[Any],
    *,
    data_gradient: bool = False,
    scale: float = 1.0,
    threads: int | None = None,
) -> tuple[NDArray[np.float64], NDArray[Any] | None, NDArray[Any]]:
    """Compute the squared one-dimensional W_2 of every row, with gradients.

    With F^{-1} and G^{-1} the quantile functions of the two rows,

        W_2^2 = int_0^1 ( F^{-1}(t) - G^{-1}(t) )^2 dt.

    Parameters
    ----------
    data, model : ndarrays of shapes (K, n), (K, m), both float64 or both float32
        Projections, one row per direction.
    data_gradient : bool, default False
        Whether the gradient with respect to the data is computed.
    scale : float, default 1
        Factor on the gradients (not on the values).
    threads : int, optional
        As in `popinv.transport.rows.in_blocks`; the result does not depend on it.

    Returns
    -------
    values : ndarray of shape (K,), float64
    data_gradients : ndarray of shape (K, n), or None
    model_gradients : ndarray of shape (K, m)

    Raises
    ------
    ValueError
        If shapes or types do not fit.
    """
    check_rows(data, model)
    data, model = np.ascontiguousarray(data), np.ascontiguousarray(model)
    values = np.empty(len(data))
    data_gradients = np.empty_like(data) if data_gradient else None
    model_gradients = np.empty_like(model)
    factor = data.dtype.type(scale)

    def block(rows: slice) -> None:
        data_order, ordered_data = sort_rows(data[rows])
        model_order, ordered_model = sort_rows(model[rows])
        values[rows], data_slopes, model_slopes = _couple(ordered_data, ordered_model)
        if data_gradients is not None:
            _scatter(data_order, data_slopes, factor, data_gradients[rows])
        _scatter(model_order, model_slopes, factor, model_gradients[rows])

    in_blocks(block, len(data), data.shape[1], model.shape[1], threads)
    return values, data_gradients, model_gradients


# --- samples in R^d ------------------------------------------------------------------------------


def project(points: NDArray[Any], frame: NDArray[Any]) -> NDArray[Any]:
    """Return the rows <points, theta_k>, one per direction.

    Parameters
    ----------
    points : ndarray of shape (n, d)
    frame : ndarray of shape (d, K)
        Directions as columns.

    Returns
    -------
    ndarray of shape (K, n)

    Raises
    ------
    ValueError
        If the shapes do not fit.
    """
    if points.ndim != 2 or frame.ndim != 2 or points.shape[1] != frame.shape[0]:
        raise ValueError(
            "points of shape (n, d) and directions of shape (d, K) do not fit: "
            f"got {points.shape} and {frame.shape}"
        )
    return frame.T @ points.T


def sliced_wasserstein_squared(
    x: NDArray[Any], y: NDArray[Any], frame: NDArray[Any], *, threads: int | None = None
) -> tuple[float, NDArray[Any]]:
    """Compute the squared sliced W_2 of two samples, and its gradient in the second.

        (1/K) sum_k W_2^2( <x, theta_k>, <y, theta_k> )

    Parameters
    ----------
    x : ndarray of shape (n, d)
        Data points.
    y : ndarray of shape (m, d)
        Model points.
    frame : ndarray of shape (d, K)
        Directions theta_k as columns. With unit columns the value is unweighted; with
        L^{-T} Theta it is weighted by (L L^T)^{-1}.
    threads : int, optional
        As in `popinv.transport.rows.in_blocks`; the result does not depend on it.

    Returns
    -------
    value : float
    gradient : ndarray of shape (m, d)

    Raises
    ------
    ValueError
        If shapes or types do not fit.
    """
    values, _, gradient = wasserstein_rows(project(x, frame), project(y, frame), threads=threads)
    return float(values.mean()), (gradient.T @ frame.T) / len(values)


# --- torch ----------------------------------------------------------------------------------------


def projected_wasserstein_squared(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Return the mean over directions of the squared W_2 of projections, differentiable once.

        (1/K) sum_k W_2^2( a[:, k], b[:, k] )

    With U = L^{-T} Theta of shape (d, K), a = Y U and b = Y_model U, the loss of a blind
    deconvolution is d/2 times this value. A detached U gives the gradient at a fixed metric. An
    attached U gives the full gradient, which flows through both a and b. Parameters, result and
    errors are as in `popinv.transport.rows.mean_over_directions`.
    """
    return mean_over_directions(wasserstein_rows, a, b)
