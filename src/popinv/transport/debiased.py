r"""The debiased squared Wasserstein distance of data to a law that is known by two samples.

Two finite samples of one law have a positive distance, so a model fitted by this distance shrinks.
Let D, F and S be the quantile functions of the data and of two independent samples of the model.
Half the distance between the two samples is subtracted:

.. math::
    \tfrac12 \bigl( W_2^2(D, F) + W_2^2(D, S) - W_2^2(F, S) \bigr)
    = \int_0^1 (F - D)(S - D)\, du .

The right side needs one sum instead of three and sorts each sample once. It also shows the
estimated quantity: as F and S are independent, its mean over them is the squared distance of D to
the *mean* quantile function of these samples. If the law is right and the samples are as large as
the data, this is the mean quantile function of the data.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from popinv.late import torch
from popinv.store.compiled import njit
from popinv.transport.rows import check_rows, in_blocks, mean_over_directions
from popinv.transport.sliced import quantile_plan
from popinv.transport.sorting import sort_rows


@njit
def _couple(
    data: np.ndarray,
    data_order: np.ndarray,
    first: np.ndarray,
    first_order: np.ndarray,
    second: np.ndarray,
    second_order: np.ndarray,
    plan: tuple,
    scale: float,
    values: np.ndarray,
    slopes: tuple,
) -> None:
    """Sum over the pieces of the plan, and write slopes to the original places of the entries."""
    source, target, weight = plan
    data_slopes, first_slopes, second_slopes = slopes
    for k in range(data.shape[0]):
        total = 0.0
        data_slopes[k] = 0.0
        first_slopes[k] = 0.0
        second_slopes[k] = 0.0
        for piece in range(source.size):
            i = source[piece]
            j = target[piece]
            one = np.float64(first[k, j]) - data[k, i]
            other = np.float64(second[k, j]) - data[k, i]
            total += weight[piece] * one * other
            push = scale * weight[piece]
            if data_slopes.size:
                data_slopes[k, data_order[k, i]] -= push * (one + other)
            first_slopes[k, first_order[k, j]] += push * other
            second_slopes[k, second_order[k, j]] += push * one
        values[k] = total


@njit
def _couple_equal(
    data: np.ndarray,
    data_order: np.ndarray,
    first: np.ndarray,
    first_order: np.ndarray,
    second: np.ndarray,
    second_order: np.ndarray,
    scale: float,
    values: np.ndarray,
    slopes: tuple,
) -> None:
    """Sum and write slopes for samples as large as the data, rank to rank."""
    data_slopes, first_slopes, second_slopes = slopes
    size = data.shape[1]
    push = scale / size
    for k in range(data.shape[0]):
        total = 0.0
        for i in range(size):
            one = np.float64(first[k, i]) - data[k, i]
            other = np.float64(second[k, i]) - data[k, i]
            total += one * other
            if data_slopes.size:
                data_slopes[k, data_order[k, i]] = -push * (one + other)
            first_slopes[k, first_order[k, i]] = push * other
            second_slopes[k, second_order[k, i]] = push * one
        values[k] = total / size


def debiased_rows(
    data: NDArray[Any],
    model: NDArray[Any],
    *,
    data_gradient: bool = False,
    scale: float = 1.0,
    threads: int | None = None,
) -> tuple[NDArray[np.float64], NDArray[Any] | None, NDArray[Any]]:
    """Evaluate ``int (F - D)(S - D) du`` on every row, with gradients.

    The first ``m // 2`` entries of a model row are one sample, and the next ``m // 2`` are the
    other. m is at least 2; for an odd m the last entry has no effect. Parameters, result and errors
    are otherwise as in `popinv.transport.sliced.wasserstein_rows`.
    """
    check_rows(data, model)
    count, n = data.shape
    half = model.shape[1] // 2
    if not half:
        raise ValueError("two samples of the model need at least two points, got 1")
    data, model = np.ascontiguousarray(data), np.ascontiguousarray(model)
    values = np.empty(count)
    data_gradients = np.empty(data.shape if data_gradient else (count, 0), data.dtype)
    model_gradients = np.empty(model.shape, model.dtype)
    model_gradients[:, 2 * half :] = 0.0

    def block(rows: slice) -> None:
        data_order, ordered = sort_rows(data[rows])
        first = sort_rows(model[rows, :half])
        second = sort_rows(model[rows, half : 2 * half])
        both = first[1], first[0], second[1], second[0]
        slopes = (
            data_gradients[rows],
            model_gradients[rows, :half],
            model_gradients[rows, half : 2 * half],
        )
        if n == half:
            _couple_equal(ordered, data_order, *both, scale, values[rows], slopes)
        else:
            plan = quantile_plan(n, half)
            _couple(ordered, data_order, *both, plan, scale, values[rows], slopes)

    in_blocks(block, count, n, 2 * half, threads)
    return values, data_gradients if data_gradient else None, model_gradients


def projected_debiased_wasserstein(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Return the mean over directions of the debiased squared W_2, differentiable once.

    The rows of ``b`` hold both samples of the model, one after the other. The value is not negative
    on average over the samples, but can be negative for given ones. Parameters, result and errors
    are as in `popinv.transport.rows.mean_over_directions`.
    """
    return mean_over_directions(debiased_rows, a, b)
