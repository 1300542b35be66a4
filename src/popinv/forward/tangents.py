"""Derivatives of a vectorised function along several tangents at once."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.autograd.forward_ad as forward_mode

__all__ = ["linearised"]


def linearised(
    function: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor, tangents: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return f(x), and the derivatives of f along each tangent, by forward-mode differentiation.

    Parameters
    ----------
    function : callable
        Maps rows (n, d) to rows (n, d_out), each row by itself.
    x : Tensor of shape (n, d)
    tangents : Tensor of shape (k, n, d)

    Returns
    -------
    Tensor of shape (n, d_out), Tensor of shape (k, n, d_out)
    """
    changes = []
    value = None
    with torch.no_grad():
        for tangent in tangents:
            with forward_mode.dual_level():
                dual = function(forward_mode.make_dual(x, tangent.contiguous()))
                value, change = forward_mode.unpack_dual(dual)
            # A value that does not depend on x has no tangent.
            changes.append(torch.zeros_like(value) if change is None else change)
        if value is None:
            value = function(x)
    return value, torch.stack(changes) if changes else x.new_zeros((0, *value.shape))
