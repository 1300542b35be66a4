"""Derivatives of a vectorised function along several tangents at once."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.autograd.forward_ad as forward_mode

# Rows that are differentiated at a time.
_ROWS = 10_000


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
    count, n, d = tangents.shape
    if not count:
        with torch.no_grad():
            value = function(x)
        return value, x.new_zeros((0, *value.shape))
    # The overhead of a call is that of thousands of rows, and many rows leave the caches.
    together = max(1, min(count, _ROWS // max(n, 1)))
    changes = []
    with torch.no_grad():
        for part in tangents.split(together):
            rows, moves = x.repeat(len(part), 1), part.reshape(-1, d)
            with forward_mode.dual_level():
                dual = function(forward_mode.make_dual(rows, moves.contiguous()))
                values, change = forward_mode.unpack_dual(dual)
            # A value that does not depend on x has no tangent.
            change = torch.zeros_like(values) if change is None else change
            changes.append(change.reshape(len(part), n, -1))
    return values[:n], torch.cat(changes)
