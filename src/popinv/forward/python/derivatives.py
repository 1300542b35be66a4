"""Evaluation of the user's function: observations, or derivatives along directions.

Derivatives come from a Jacobian that the function returns beside the observations, or from torch,
which differentiates the function itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from popinv.forward.checks import unmasked
from popinv.forward.external.messages import LARGEST_ANSWER

# Kinds of evaluation.
VALUES, JVP, VJP = "values", "jvp", "vjp"
# Sources of derivatives.
JACOBIAN, TORCH = "jacobian", "torch"


class NotNumbers(TypeError):
    """The function returned an invalid result."""


def table(result: Any) -> np.ndarray:
    """Return the result of a function as an array of float64, with NaN for masked entries.

    Raises
    ------
    NotNumbers
        If it is none, or too large.
    """
    try:
        values = np.asarray(unmasked(result))
        # Complex numbers would lose their imaginary part, and text would be read as numbers.
        if values.dtype.kind not in "biufO":
            raise TypeError(f"its entries are of type {values.dtype}")
        if values.dtype.kind == "O" and any(isinstance(v, str | bytes) for v in values.flat):
            raise TypeError("some of its entries are text")
        if 8 * values.size > LARGEST_ANSWER:
            raise TypeError(f"its shape {values.shape} is too large for one call")
        return values.astype(np.float64)
    except (Exception, SystemExit) as error:
        hint = ""
        if isinstance(result, tuple) and len(result) == 2:
            hint = ". If it is the observations and their Jacobian, set 'derivatives: jacobian'"
        raise NotNumbers(
            f"the function returned a {type(result).__name__} that is not a table of numbers: "
            f"{error}{hint}"
        ) from None


def from_jacobian(
    function: Callable[[bool], Any], d_z: int, asked: str, directions: np.ndarray | None
) -> np.ndarray:
    """Return the observations or derivatives of a function that returns observations and Jacobian.

    Parameters
    ----------
    function : callable
        Told whether the Jacobian is wanted. Returns y (n, d_y), or y and J (n, d_y, d_z).
    asked : str
        ``VALUES``, ``JVP`` or ``VJP``.
    directions : ndarray, optional
        Tangents (n, k, d_z), or cotangents (n, d_y).

    Returns
    -------
    ndarray
        y, (n, d_y); y and J u for each tangent side by side, (n, (1 + k) d_y); or J^T c, (n, d_z).

    Raises
    ------
    NotNumbers
        If these are not arrays of such shapes.
    """
    result = function(asked != VALUES)
    pair = isinstance(result, tuple) and len(result) == 2
    if directions is None:
        return table(result[0] if pair else result)
    if not pair:
        raise NotNumbers(
            f"the function returned a {type(result).__name__}, but with 'derivatives: jacobian' a "
            "pair is expected: the observations, and their Jacobian"
        )
    y, jacobian = table(result[0]), table(result[1])
    expected = (*y.shape, d_z)
    if jacobian.shape != expected:
        transposed = jacobian.ndim == 3 and jacobian.transpose(0, 2, 1).shape == expected
        raise NotNumbers(
            f"the function returned a Jacobian of shape {jacobian.shape} beside observations of "
            f"shape {y.shape}, but {expected} is expected: entry [i, j, k] is the derivative of "
            "observation j of system i in parameter k."
            + (" It looks transposed." if transposed else "")
        )
    if asked == VJP:
        return np.einsum("njk,nj->nk", jacobian, directions)
    changes = np.einsum("njk,nmk->nmj", jacobian, directions)
    return np.concatenate([y[:, None], changes], axis=1).reshape(len(y), -1)
