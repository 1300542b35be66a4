"""One-dimensional discrepancies of many pairs of projected samples, with gradients.

Everything here works on matrices of *rows*: one row per direction, contiguous in the sample, as
a sort wants them. The torch function takes the transposed, mathematical form (points x
directions) and costs one transposition less when given a transposed view.

Two decisions make it fast, none changes the answer:

- rows are sorted by `popinv.transport.sorting`, not by torch;
- rows are independent, so threads take blocks of rows, and no sum ever crosses a block: the
  result has the same bits whatever the number of threads. (Matrix products around it have not:
  a BLAS may add up in another order with more threads. Where bits matter, hold BLAS and torch to
  one thread and give the others to `threads`.)

A discrepancy is a `Couple`: what it makes of sorted rows. `popinv.transport.sliced` and
`popinv.transport.energy` each hold one.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numba
import numpy as np
import torch
from numpy.typing import NDArray

from popinv.transport.sorting import sort_rows

__all__ = ["Couple", "evaluate_rows", "in_blocks", "mean_over_directions", "projected_discrepancy"]

# Numbers per block of rows: a block and its temporaries stay in a core's second-level cache.
_BLOCK_ENTRIES = 32_768
# Below this many numbers starting threads costs more than it saves.
_THREADING_ENTRIES = 131_072

# Sorted data rows (B, n) and model rows (B, m) -> values (B,), and the derivatives of each value
# with respect to its sorted data and model entries, (B, n) and (B, m).
Couple = Callable[
    [NDArray[Any], NDArray[Any]], tuple[NDArray[np.float64], NDArray[Any], NDArray[Any]]
]


# --- all rows ------------------------------------------------------------------------------------


@numba.njit(nogil=True, cache=True)
def _scatter(order, slopes, scale, out):
    for k in range(order.shape[0]):
        for i in range(order.shape[1]):
            out[k, order[k, i]] = scale * slopes[k, i]


def check_rows(data: NDArray[Any], model: NDArray[Any]) -> None:
    """Raise ValueError unless the rows of two samples are of the same directions and dtype."""
    if data.ndim != 2 or model.ndim != 2:
        raise ValueError(f"projections must be matrices, got shapes {data.shape} and {model.shape}")
    if data.shape[0] != model.shape[0]:
        raise ValueError(
            f"both samples need the same directions, got {data.shape[0]} and {model.shape[0]}"
        )
    if 0 in data.shape or 0 in model.shape:
        raise ValueError(
            "projections need at least one direction and one point per sample, "
            f"got {data.shape[0]} directions of {data.shape[1]} and {model.shape[1]} points"
        )
    if data.dtype != model.dtype or data.dtype not in (np.float64, np.float32):
        raise ValueError(
            f"projections must be both float64 or both float32, got {data.dtype} and {model.dtype}"
        )


def in_blocks(
    block: Callable[[slice], None], count: int, n: int, m: int, threads: int | None = None
) -> None:
    """Call a function with slices of ``count`` rows of n and m numbers, in threads if it pays."""
    height = max(1, _BLOCK_ENTRIES // max(n, m))
    slices = [slice(start, start + height) for start in range(0, count, height)]
    workers = min(threads or torch.get_num_threads(), len(slices))
    if workers == 1 or count * (n + m) < _THREADING_ENTRIES:
        for rows in slices:
            block(rows)
    else:
        # A pool per call costs a tenth of a millisecond and survives a fork; a global one does not.
        with ThreadPoolExecutor(workers) as pool:
            for _ in pool.map(block, slices):
                pass


def evaluate_rows(
    couple: Couple,
    data: NDArray[Any],
    model: NDArray[Any],
    *,
    data_sorted: bool = False,
    data_gradient: bool = False,
    model_gradient: bool = True,
    scale: float = 1.0,
    threads: int | None = None,
) -> tuple[NDArray[np.float64], NDArray[Any] | None, NDArray[Any] | None]:
    """Evaluate a one-dimensional discrepancy on every row, with gradients.

    Parameters
    ----------
    couple : callable
        The discrepancy of sorted rows, such as `popinv.transport.sliced.couple_wasserstein`.
    data, model : ndarrays of shapes (K, n), (K, m), both float64 or both float32
        Projections, one row per direction.
    data_sorted : bool, default False
        The rows of `data` are sorted already.
    data_gradient, model_gradient : bool
        Which gradients to return; the others are None.
    scale : float, default 1
        Factor on the gradients (not on the values).
    threads : int, optional
        Number of threads, by default ``torch.get_num_threads()``. The result does not depend
        on it.

    Returns
    -------
    values : ndarray of shape (K,), float64
    data_gradients : ndarray of shape (K, n), or None
    model_gradients : ndarray of shape (K, m), or None

    Raises
    ------
    ValueError
        On shapes or types that do not fit, or a gradient asked of data sorted beforehand, whose
        original order is lost.
    """
    check_rows(data, model)
    if data_sorted and data_gradient:
        raise ValueError("no gradient with respect to data that were sorted beforehand")
    data, model = np.ascontiguousarray(data), np.ascontiguousarray(model)
    count = data.shape[0]
    values = np.empty(count)
    data_gradients = np.empty(data.shape, data.dtype) if data_gradient else None
    model_gradients = np.empty(model.shape, model.dtype) if model_gradient else None
    factor = data.dtype.type(scale)

    def block(rows: slice) -> None:
        ordered_data, ordered_model = data[rows], model[rows]
        if data_gradients is not None:
            data_order, ordered_data = sort_rows(ordered_data)
        elif not data_sorted:
            _, ordered_data = sort_rows(ordered_data)
        if model_gradients is not None:
            model_order, ordered_model = sort_rows(ordered_model)
        else:
            _, ordered_model = sort_rows(ordered_model)
        values[rows], data_slopes, model_slopes = couple(ordered_data, ordered_model)
        if data_gradients is not None:
            _scatter(data_order, data_slopes, factor, data_gradients[rows])
        if model_gradients is not None:
            _scatter(model_order, model_slopes, factor, model_gradients[rows])

    in_blocks(block, count, data.shape[1], model.shape[1], threads)
    return values, data_gradients, model_gradients


def mean_over_directions(
    couple: Couple,
    data: NDArray[Any],
    model: NDArray[Any],
    frame: NDArray[Any],
    *,
    data_sorted: bool = False,
    threads: int | None = None,
) -> tuple[float, NDArray[Any]]:
    """Mean of a discrepancy over directions, and its gradient in the model points.

    Parameters
    ----------
    couple : callable
        The discrepancy of sorted rows.
    data, model : ndarrays of shapes (K, n), (K, m)
        Projections on the columns of `frame`.
    frame : ndarray of shape (d, K)
        Directions.
    data_sorted : bool, default False
        The rows of `data` are sorted already.
    threads : int, optional
        As in `evaluate_rows`.

    Returns
    -------
    value : float
    gradient : ndarray of shape (m, d)

    Raises
    ------
    ValueError
        On shapes or types that do not fit.
    """
    values, _, gradient = evaluate_rows(
        couple, data, model, data_sorted=data_sorted, threads=threads
    )
    assert gradient is not None
    return float(values.mean()), (gradient.T @ frame.T) / len(values)


# --- torch ---------------------------------------------------------------------------------------


class _ProjectedDiscrepancy(torch.autograd.Function):
    """Mean over directions of a row discrepancy; gradients are made in the forward pass."""

    @staticmethod
    def forward(
        ctx: Any,
        a: torch.Tensor,
        b: torch.Tensor,
        couple: Couple,
        data_sorted: bool,
        threads: int | None,
    ) -> torch.Tensor:
        if a.ndim != 2 or b.ndim != 2:
            raise ValueError(
                f"projections must be matrices, got shapes {tuple(a.shape)} and {tuple(b.shape)}"
            )
        if a.device.type != "cpu" or b.device.type != "cpu":
            raise ValueError(f"projections must be on the CPU, got {a.device} and {b.device}")
        data = a.detach().numpy().T
        model = b.detach().numpy().T
        values, data_gradient, model_gradient = evaluate_rows(
            couple,
            data,
            model,
            data_sorted=data_sorted,
            data_gradient=ctx.needs_input_grad[0],
            model_gradient=ctx.needs_input_grad[1],
            scale=1.0 / max(1, len(data)),
            threads=threads,
        )
        ctx.gradients = [
            None if gradient is None else torch.from_numpy(gradient).T
            for gradient in (data_gradient, model_gradient)
        ]
        return torch.tensor(values.mean(), dtype=b.dtype)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, weight: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        data, model = (None if g is None else weight * g for g in ctx.gradients)
        return data, model, None, None, None


def projected_discrepancy(
    couple: Couple,
    a: torch.Tensor,
    b: torch.Tensor,
    *,
    data_sorted: bool = False,
    threads: int | None = None,
) -> torch.Tensor:
    """Mean over directions of a one-dimensional discrepancy, differentiable once.

    Parameters
    ----------
    couple : callable
        The discrepancy of sorted rows.
    a : torch.Tensor of shape (n, K)
        Projected data, float64 or float32, on the CPU. Its gradient is computed only if it
        requires one.
    b : torch.Tensor of shape (m, K)
        Projected model sample, dtype of `a`.
    data_sorted : bool, default False
        The columns of `a` are sorted already.
    threads : int, optional
        As in `evaluate_rows`.

    Returns
    -------
    torch.Tensor of shape ()

    Raises
    ------
    ValueError
        On shapes, types or devices that do not fit, or sorted data that require a gradient.
    """
    if not torch.is_grad_enabled():  # a score: spare the gradient
        a, b = a.detach(), b.detach()
    value: torch.Tensor = _ProjectedDiscrepancy.apply(a, b, couple, data_sorted, threads)
    return value
