"""Checks that laws and noise families share: names and derivatives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from popinv.sections.outside import demand

_STEP = 1e-5
# Tolerances in shares of the largest derivative in a parameter, and of the largest value.
_TOLERANCE, _OF_VALUE = 1e-4, 1e-7


def check_names(subject: str, model: Any, attributes: Sequence[str]) -> list[str]:
    """Return the names of a model's parameters, after a check that they can serve as names.

    Parameters
    ----------
    subject : str
        The model in words, for the messages.
    model : Law or NoiseModel
    attributes : sequence of str
        Attributes that the model must have.

    Raises
    ------
    ConfigError
        If an attribute lacks, or if names are empty, not text, or equal.
    """
    for attribute in attributes:
        demand(hasattr(model, attribute), f"the {subject} has no attribute '{attribute}'")
    names = list(model.names)
    demand(
        bool(names) and all(isinstance(name, str) and name for name in names),
        f"the {subject}'s 'names' are {model.names!r}, but they must be names, at least one",
    )
    demand(
        len(set(names)) == len(names),
        f"the {subject}'s 'names' are {names}, but no two may be equal",
    )
    return names


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
