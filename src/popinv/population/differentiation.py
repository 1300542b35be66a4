"""Comparison of torch's derivatives of a function with differences."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from popinv.sections.outside import demand

__all__ = ["check_derivatives"]

_STEP = 1e-5
# Tolerances in shares of the largest derivative in a parameter, and of the largest value.
_TOLERANCE, _OF_VALUE = 1e-4, 1e-7


def check_derivatives(
    name: str,
    function: Callable[[torch.Tensor], torch.Tensor],
    at: torch.Tensor,
    parameters: Sequence[str],
) -> None:
    """Compare the Jacobian of a function with central differences.

    Parameters
    ----------
    name : str
        The function's name, for the message.
    function : callable
        Maps unconstrained parameters (k,) to a tensor.
    at : Tensor of shape (k,)
    parameters : sequence of str, length k
        Names of the parameters.

    Raises
    ------
    ConfigError
        If torch gives no derivative, or another one.
    """
    values = function(at.clone().requires_grad_(True))
    advice = (
        "Compute with tensors of torch throughout, without numpy, detach(), item() or "
        "torch.tensor(...) of a parameter."
    )
    demand(
        values.requires_grad,
        f"'{name}' cannot be differentiated in its parameters. {advice}",
    )
    jacobian = torch.autograd.functional.jacobian(function, at).reshape(-1, len(at))
    demand(bool(torch.isfinite(jacobian).all()), f"the derivatives of '{name}' are not all finite")
    for i, parameter in enumerate(parameters):
        step = torch.zeros_like(at)
        step[i] = _STEP * max(1.0, abs(float(at[i])))
        change = ((function(at + step) - function(at - step)) / (2 * step[i])).reshape(-1)
        largest = float(torch.maximum(change.abs(), jacobian[:, i].abs()).max())
        gaps = (change - jacobian[:, i]).abs()
        worst = int(gaps.argmax())
        demand(
            float(gaps[worst])
            <= _TOLERANCE * largest + _OF_VALUE * float(values.detach().abs().max()),
            f"the derivative of '{name}' in '{parameter}' is {float(jacobian[worst, i]):.4g} by "
            f"torch, but {float(change[worst]):.4g} by differences. {advice}",
        )
