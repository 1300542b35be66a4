"""Derivatives of a user's function of torch tensors, by torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from popinv.forward.python.derivatives import JVP, NotNumbers
from popinv.forward.tangents import linearised, pulled_back
from popinv.late import torch


def from_torch(
    function: Callable[[torch.Tensor], Any],
    z: np.ndarray,
    asked: str,
    directions: np.ndarray | None,
) -> np.ndarray:
    """Return the observations or derivatives of a function of tensors, as ``from_jacobian`` does.

    Changes along tangents are differentiated forwards; where a part of the function does not offer
    that, they come from a Jacobian that is differentiated backwards, row by row.

    Parameters
    ----------
    function : callable
        Maps a tensor z (n, d_z) of float64 to y (n, d_y), each row by itself.
    z : ndarray of shape (n, d_z)
    asked : str
        ``VALUES``, ``JVP`` or ``VJP``.
    directions : ndarray, optional
        Tangents (n, k, d_z), or cotangents (n, d_y).

    Raises
    ------
    NotNumbers
        If the function returns no tensor, or one without derivatives.
    """

    def simulate(x: torch.Tensor) -> torch.Tensor:
        y = function(x)
        if not isinstance(y, torch.Tensor) or y.is_complex():
            raise NotNumbers(
                f"the function returned a {type(y).__name__}, but with 'derivatives: torch' a real "
                "tensor is expected"
            )
        return y.to("cpu", torch.float64)

    at = torch.from_numpy(z)
    if directions is None:
        return simulate(at).detach().numpy()
    along = torch.from_numpy(directions)
    if asked == JVP:
        y, changes = changes_along(simulate, at, along.transpose(0, 1))
        together = torch.cat([y[None], changes]).transpose(0, 1)
        return together.reshape(len(z), -1).numpy()
    x, y = _recorded(simulate, at)
    (gradient,) = pulled_back(y, (x,), along)
    return gradient.numpy()


def changes_along(
    simulate: Callable[[torch.Tensor], torch.Tensor], at: torch.Tensor, tangents: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return y (n, d_y), and its changes (k, n, d_y) along tangents (k, n, d_z).

    They are differentiated forwards, or by a Jacobian where that is not offered.
    """
    try:
        return linearised(simulate, at, tangents)
    except RuntimeError:  # NotImplementedError among them
        return _by_jacobian(simulate, at, tangents)


def _recorded(
    simulate: Callable[[torch.Tensor], torch.Tensor], at: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    x = at.clone().requires_grad_(True)
    y = simulate(x)
    if not y.requires_grad:
        raise NotNumbers(
            "the function returned a tensor without derivatives; every step from z to it must be "
            "computed by torch, without detach(), numpy(), item() or no_grad()"
        )
    return x, y


def _by_jacobian(
    simulate: Callable[[torch.Tensor], torch.Tensor], at: torch.Tensor, tangents: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    x, y = _recorded(simulate, at)
    rows = [torch.autograd.grad(column.sum(), x, retain_graph=True)[0] for column in y.T]
    return y.detach(), torch.einsum("jnk,mnk->mnj", torch.stack(rows), tangents)
