"""A forward model in place of its surrogate.

Estimators see a function from parameters to observations as tensors. If the forward model has
derivatives (:class:`~popinv.forward.base.DifferentiableModel`), so has the function: backwards
by the model's ``vjp``, and along tangents by its ``jvp``.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, cast

import numpy as np

from popinv.forward.base import DifferentiableModel, ForwardModel, session
from popinv.late import torch
from popinv.workers import Tally


class SolverSimulator:
    """The forward model itself, from a Tensor (n, d_z) to a Tensor (n, d_y).

    Attributes
    ----------
    differentiable : bool
        Whether the model has derivatives.
    """

    def __init__(self, model: ForwardModel) -> None:
        self.model, self._solves = model, Tally()
        self.differentiable = isinstance(model, DifferentiableModel)

    @property
    def solves(self) -> int:
        """Number of systems solved so far, including solves for derivatives."""
        return self._solves.value

    def __call__(self, z: torch.Tensor) -> torch.Tensor:
        """Return the observations. Rows that cannot be solved are NaN."""
        return cast(torch.Tensor, _Solve.apply(z, self))

    def linearise(
        self, z: torch.Tensor, tangents: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return y for z (n, d_z) and its derivatives along tangents (k, n, d_z), (k, n, d_y)."""
        self._solves.add(len(z))
        y, dy = self._derivatives().jvp(z.detach().numpy(), tangents.detach().numpy())
        return torch.from_numpy(y), torch.from_numpy(dy)

    def session(self) -> AbstractContextManager[None]:
        """Return :func:`popinv.forward.base.session` of the model."""
        return session(self.model)

    def _derivatives(self) -> DifferentiableModel:
        if not self.differentiable:
            raise TypeError(f"{type(self.model).__name__} gives no derivatives")
        return cast(DifferentiableModel, self.model)


class _Solve(torch.autograd.Function):
    """y = G(z), with the model's own adjoint."""

    @staticmethod
    def forward(ctx: Any, z: torch.Tensor, simulator: SolverSimulator) -> torch.Tensor:
        ctx.save_for_backward(z)
        ctx.simulator = simulator
        simulator._solves.add(len(z))
        return torch.from_numpy(simulator.model.solve(z.detach().numpy()).observations)

    @staticmethod
    def backward(ctx: Any, *cotangents: torch.Tensor) -> tuple[torch.Tensor, None]:
        (z,) = ctx.saved_tensors
        simulator = ctx.simulator
        simulator._solves.add(len(z))
        gradient = simulator._derivatives().vjp(z.numpy(), np.ascontiguousarray(cotangents[0]))
        return torch.from_numpy(gradient), None
