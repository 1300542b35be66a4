r"""Derivatives of a simulator that gives none, by central differences of its solves.

.. math:: J u \approx \frac{G(z + h u) - G(z - h u)}{2 h}.

The step of a parameter is a share ``eps`` of its size. The relative error is of the order of
``eps^2``, plus that of a solve over ``eps``. Known quantities of a system do not move.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from popinv.late import torch

Solve = Callable[["torch.Tensor"], "torch.Tensor"]
"""A function of inputs (n, d), the parameters first, to observations (n, d_y)."""

# With an exact solve the error is about 1e-8; with a solve to 8 digits, 1e-4.
_SHARE = 1e-4
# The step of a parameter at zero, as a share of the largest in other rows, or by itself.
_LEAST = 1e-8


class Differenced:
    """A simulator without derivatives as a differentiable function of tensors.

    Parameters
    ----------
    solve : callable
    parameters : int
        Number of parameters p, the first inputs. Derivatives take 2 p solves.

    Examples
    --------
    >>> cube = Differenced(lambda z: z**3, 1)
    >>> z = torch.tensor([[2.0]], dtype=torch.float64)
    >>> round(float(cube.jacobian(z)), 6)
    12.0
    """

    def __init__(self, solve: Solve, parameters: int) -> None:
        self._solve, self._parameters = solve, parameters

    def __call__(self, z: torch.Tensor) -> torch.Tensor:
        """Return the observations (n, d_y) for inputs (n, d)."""
        y: torch.Tensor = _Solved.apply(z, self)
        return y

    def linearise(
        self, z: torch.Tensor, tangents: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the observations, and their derivatives along tangents (k, n, d)."""
        moving = tangents.detach()[..., : self._parameters]
        y, jacobian = self._solved(z, beside=True)
        return y, torch.einsum("njp,knp->knj", jacobian, moving)

    def values(self, z: torch.Tensor) -> torch.Tensor:
        """Return the observations, without derivatives."""
        with torch.no_grad():
            return self._solve(z.detach())

    def jacobian(self, z: torch.Tensor) -> torch.Tensor:
        """Return the derivatives in the parameters, (n, d_y, p)."""
        return self._solved(z, beside=False)[1]

    def _solved(self, z: torch.Tensor, beside: bool) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the observations if they are wanted, and the derivatives, by one call."""
        at, p = z.detach(), self._parameters
        moved = at.repeat(2 * p, 1, 1)
        for j in range(p):
            size = at[:, j].abs()
            step = _SHARE * size + _LEAST * (float(size.amax()) if len(size) else 0.0)
            step = torch.where(step > 0, step, _LEAST)
            moved[2 * j, :, j] += step
            moved[2 * j + 1, :, j] -= step
        points = torch.cat([moved, at[None]]) if beside else moved
        found = self.values(points.flatten(0, 1)).reshape(len(points), len(at), -1)
        columns = []
        for j in range(p):
            # The step as it is after rounding.
            width = (moved[2 * j, :, j] - moved[2 * j + 1, :, j])[:, None]
            columns.append((found[2 * j] - found[2 * j + 1]) / width)
        return found[-1], torch.stack(columns, dim=2)


class _Solved(torch.autograd.Function):
    """y = G(z), with the adjoint of the differences."""

    @staticmethod
    def forward(ctx: Any, z: torch.Tensor, simulator: Differenced) -> torch.Tensor:
        ctx.save_for_backward(z)
        ctx.simulator = simulator
        return simulator.values(z)

    @staticmethod
    def backward(ctx: Any, *cotangents: torch.Tensor) -> tuple[torch.Tensor, None]:
        (z,) = ctx.saved_tensors
        jacobian, gradient = ctx.simulator.jacobian(z), torch.zeros_like(z)
        gradient[:, : jacobian.shape[2]] = torch.einsum("njp,nj->np", jacobian, cotangents[0])
        return gradient, None
