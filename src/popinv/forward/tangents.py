"""Derivatives of a vectorised function along several tangents at once."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.autograd.forward_ad as forward_mode

# Rows that are differentiated at a time.
_ROWS = 10_000
# Step of a difference quotient, in units of the tangent.
_STEP = 1e-6


def linearised(
    function: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor, tangents: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return f(x), and the derivatives of f along each tangent, by forward-mode differentiation.

    A formula can be finite where its derivative is not, as ``1 / (1 + exp(x))`` for a large x,
    whose derivative is infinity times zero. A difference quotient takes its place.

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
    value, change = values[:n], torch.cat(changes)
    broken = torch.isfinite(value).all(dim=1) & ~torch.isfinite(change).all(dim=2).all(dim=0)
    if broken.any():
        change[:, broken] = _differences(function, x, tangents, broken)
    return value, change


def _differences(
    function: Callable[[torch.Tensor], torch.Tensor],
    x: torch.Tensor,
    tangents: torch.Tensor,
    chosen: torch.Tensor,
) -> torch.Tensor:
    """Return the central difference quotients of some rows, (k, m, d_out).

    The function gets all rows, since it may know of each one what the others do not have.
    """
    with torch.no_grad():
        quotients = [
            (function(x + _STEP * tangent) - function(x - _STEP * tangent))[chosen] / (2 * _STEP)
            for tangent in tangents
        ]
    return torch.stack(quotients)
