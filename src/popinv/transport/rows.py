"""Checks, threads and the torch function for all discrepancies of projected samples.

Everything here works on matrices of *rows*: one row per direction, contiguous in the sample, as
sorting needs them. The torch function takes the transposed, mathematical form (points x
directions) and saves one transposition if it is given a transposed view.

Two decisions make it fast and do not change the answer:

- rows are sorted by `popinv.transport.sorting`, not by torch;
- rows are independent, so threads take blocks of rows, and no sum crosses a block: the result has
  the same bits for any number of threads. (The matrix products around it do not have this
  property: a BLAS may sum in another order with more threads. If bits matter, limit BLAS and torch
  to one thread and give the others to `threads`.)
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from popinv.late import torch

# Numbers per block of rows: a block and its temporaries stay in a core's second-level cache.
_BLOCK_ENTRIES = 32_768
# Below this many numbers, starting threads costs more than it saves.
_THREADING_ENTRIES = 131_072

# Data rows (K, n) and model rows (K, m), with the keywords `data_gradient`, `scale` and `threads`,
# -> the values (K,), and `scale` times their gradients in the data (None unless requested) and in
# the model.
RowDiscrepancy = Callable[..., tuple[NDArray[np.float64], NDArray[Any] | None, NDArray[Any]]]


def check_rows(data: NDArray[Any], model: NDArray[Any]) -> None:
    """Raise ValueError unless the rows of two samples agree in directions and dtype."""
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
    """Call a function with slices of ``count`` rows of n and m numbers, in threads if it is faster.

    ``threads`` is the largest number of threads, by default ``torch.get_num_threads()``.
    """
    height = max(1, _BLOCK_ENTRIES // max(n, m))
    slices = [slice(start, start + height) for start in range(0, count, height)]
    workers = min(threads or torch.get_num_threads(), len(slices))
    if workers == 1 or count * (n + m) < _THREADING_ENTRIES:
        for rows in slices:
            block(rows)
    else:
        # A pool per call costs a tenth of a millisecond and survives a fork; a global pool does
        # not.
        with ThreadPoolExecutor(workers) as pool:
            for _ in pool.map(block, slices):
                pass


class _MeanOverDirections(torch.autograd.Function):
    """Mean over directions of a row discrepancy; the forward pass also computes the gradients."""

    @staticmethod
    def forward(
        ctx: Any, a: torch.Tensor, b: torch.Tensor, discrepancy: RowDiscrepancy
    ) -> torch.Tensor:
        if a.ndim != 2 or b.ndim != 2:
            raise ValueError(
                f"projections must be matrices, got shapes {tuple(a.shape)} and {tuple(b.shape)}"
            )
        if a.device.type != "cpu" or b.device.type != "cpu":
            raise ValueError(f"projections must be on the CPU, got {a.device} and {b.device}")
        values, *gradients = discrepancy(
            a.detach().numpy().T,
            b.detach().numpy().T,
            data_gradient=ctx.needs_input_grad[0],
            scale=1.0 / max(1, a.shape[1]),
        )
        ctx.gradients = [None if g is None else torch.from_numpy(g).T for g in gradients]
        return torch.tensor(values.mean(), dtype=b.dtype)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, weight: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        data, model = (None if g is None else weight * g for g in ctx.gradients)
        return data, model, None


def mean_over_directions(
    discrepancy: RowDiscrepancy, a: torch.Tensor, b: torch.Tensor
) -> torch.Tensor:
    """Return the mean over directions of a one-dimensional discrepancy, differentiable once.

    Parameters
    ----------
    discrepancy : callable
        For example `popinv.transport.sliced.wasserstein_rows`.
    a : torch.Tensor of shape (n, K)
        Projected data, float64 or float32, on the CPU. Its gradient is computed only if it
        requires one.
    b : torch.Tensor of shape (m, K)
        Projected model sample, dtype of `a`. A transposed view, ``(U.T @ Y.T).T``, saves a copy.

    Returns
    -------
    torch.Tensor of shape ()

    Raises
    ------
    ValueError
        If shapes, types or devices do not fit.
    """
    value: torch.Tensor = _MeanOverDirections.apply(a, b, discrepancy)
    return value
