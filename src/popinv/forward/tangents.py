"""Derivatives of a function of rows along several tangents, and of one of parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from popinv.late import torch

# Rows that are differentiated at a time.
_ROWS = 10_000
# Up to this many rows, the overhead of forward mode exceeds its work: it calls Python for every
# product with a constant, and its first call imports for a second.
_FEW_ROWS = 5_000
# Disagreement of the derivatives with the gradient, as a share of the terms of either, and terms
# that are nothing.
_SAME, _UNDERFLOWN = 1e-5, 1e-200
# Step of a difference quotient, in units of the tangent.
_STEP = 1e-6
# Step of a parameter of a law or of a noise.
_OF_PARAMETERS = 1e-4


def linearised(
    function: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor, tangents: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return f(x), and the derivatives of f along each tangent.

    Few rows are differentiated backwards twice, if the function can be; others forwards. With more
    tangents than inputs, the derivatives are those along the inputs, combined.

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
    if count > d:
        along = torch.eye(d, dtype=x.dtype)[:, None].expand(d, n, d)
        value, partial = _along(function, x, along)
        change = torch.einsum("dnj,knd->knj", partial, tangents)
    else:
        value, change = _along(function, x, tangents)
    broken = torch.isfinite(value).all(dim=1) & ~torch.isfinite(change).all(dim=2).all(dim=0)
    if broken.any():
        change[:, broken] = _differences(function, x, tangents, broken)
    return value, change


def _along(
    function: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor, tangents: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return f(x), and its derivatives along tangents, some rows at a time."""
    count, n, d = tangents.shape
    # A call has the overhead of thousands of rows, and many rows leave the caches.
    together = max(1, min(count, _ROWS // max(n, 1)))
    changes = []
    for part in tangents.split(together):
        rows, moves = x.repeat(len(part), 1), part.reshape(-1, d)
        found = _backwards_twice(function, rows, moves) if n <= _FEW_ROWS else None
        values, change = _forwards(function, rows, moves) if found is None else found
        changes.append(change.reshape(len(part), n, -1))
    return values[:n], torch.cat(changes)


def _forwards(
    function: Callable[[torch.Tensor], torch.Tensor], rows: torch.Tensor, moves: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    with torch.no_grad(), torch.autograd.forward_ad.dual_level():
        dual = function(torch.autograd.forward_ad.make_dual(rows, moves.contiguous()))
        values, change = torch.autograd.forward_ad.unpack_dual(dual)
    # A value that does not depend on x has no tangent.
    return values, torch.zeros_like(values) if change is None else change


def _backwards_twice(
    function: Callable[[torch.Tensor], torch.Tensor], rows: torch.Tensor, moves: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor] | None:
    """Return the same as :func:`_forwards`, or None where torch does not find it so.

    The gradient J' w is linear in w, and its derivative along w, transposed, is J. A part of the
    function whose gradient cannot be differentiated is missing there. It is found by w' J t, which
    is to be t' J' w.
    """
    with torch.enable_grad():
        x = rows.detach().requires_grad_(True)
        try:
            y = function(x)
            w = torch.ones_like(y, requires_grad=True)
            (gradient,) = pulled_back(y, (x,), w, create_graph=True)
            (change,) = pulled_back(gradient, (w,), moves)
        except RuntimeError:
            return None
    terms = gradient.detach() * moves
    off = (change.sum(dim=1) - terms.sum(dim=1)).abs()
    size = change.abs().sum(dim=1) + terms.abs().sum(dim=1)
    # Neither what is not finite is a disagreement, nor the rounding of numbers that underflow.
    apart = off > _SAME * size.clamp(min=_UNDERFLOWN)
    return None if apart.any() else (y.detach(), change)


def pulled_back(
    y: torch.Tensor, x: Sequence[torch.Tensor], cotangents: torch.Tensor, create_graph: bool = False
) -> tuple[torch.Tensor, ...]:
    """Return the gradients of ``sum(y * cotangents)`` in each x.

    Torch's own argument for cotangents imports a library of symbols, for half a second.
    """
    with torch.enable_grad():
        total = (y * cotangents).sum()
    return torch.autograd.grad(total, x, create_graph=create_graph)


def each_tangent(
    function: Callable[[torch.Tensor], torch.Tensor],
    parameters: torch.Tensor,
    step: float = _OF_PARAMETERS,
) -> Iterator[torch.Tensor]:
    """Yield the derivative in each of a function's parameters (n_p,), by central differences.

    Their error is O(step**2) relative. They come one at a time, as all together can exceed the
    memory. A function of random numbers keeps the same numbers.
    """
    for i in range(len(parameters)):
        shift = torch.zeros_like(parameters)
        shift[i] = step
        with torch.no_grad():
            tangent = (function(parameters + shift) - function(parameters - shift)) / (2 * step)
        yield tangent


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
