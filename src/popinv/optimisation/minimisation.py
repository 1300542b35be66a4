"""Minimisation of a smooth function of few variables."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.optimize import minimize

from popinv.errors import DivergenceError
from popinv.late import torch

# Height and steepness of the wall around points at which the function is not finite.
_WALL = 1e3
_MOST_ITERATIONS = 200


def minimise(function: Callable[[torch.Tensor], torch.Tensor], start: np.ndarray) -> np.ndarray:
    """Return the minimiser of a function near the start, by L-BFGS with torch's gradient.

    If 200 iterations do not suffice, the best point so far is returned.

    Parameters
    ----------
    function : callable
        Maps a double tensor (n,) to a number.
    start : ndarray of shape (n,)

    Raises
    ------
    DivergenceError
        If the function is not finite at the start.
    """
    best_value, best = float("inf"), np.array(start, dtype=float)

    def value_and_gradient(point: np.ndarray) -> tuple[float, np.ndarray]:
        nonlocal best_value, best
        x = torch.from_numpy(point.copy()).requires_grad_(True)
        try:
            result = function(x)
            (gradient,) = torch.autograd.grad(result, x)
            value, slope = float(result.detach()), gradient.numpy()
        except torch.linalg.LinAlgError:
            # A step that is too long can lose a positive definite matrix.
            value, slope = float("inf"), np.zeros_like(point)
        if np.isfinite(value) and np.isfinite(slope).all():
            if value < best_value:
                best_value, best = value, point.copy()
            return value, slope
        if not np.isfinite(best_value):
            raise DivergenceError("the function of a minimisation is not finite at the start")
        # The line search cannot handle infinite values, so a finite wall leads it back.
        gap = point - best
        wall = _WALL * (1 + abs(best_value))
        return best_value + wall * (1 + float(gap @ gap)), 2 * wall * gap

    minimize(
        value_and_gradient,
        best,
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": _MOST_ITERATIONS},
    )
    return best
