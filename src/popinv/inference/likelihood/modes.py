r"""Posterior modes of the standard normal numbers of each system.

With the whitened residual r(omega) of a system (:mod:`popinv.inference.likelihood.whitening`) the
negative log posterior is, up to a constant,

.. math:: \phi(\omega) = \tfrac12 |r(\omega)|^2 + \tfrac12 |\omega|^2 .

Each system takes Gauss-Newton steps with its own Levenberg damping to a minimum. J is the Jacobian
of the whitened observation and ``H = J^T J + I`` the Gauss-Newton matrix. Systems that have
converged take no further steps.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch

from popinv.inference.likelihood.push_forward import PushForward
from popinv.inference.likelihood.whitening import Whitening

__all__ = ["Modes", "find_modes"]

_FIRST_DAMPING, _LESS, _MORE = 1e-3, 0.2, 5.0


@dataclass(frozen=True)
class Modes:
    """The modes of n systems.

    Attributes
    ----------
    omega : Tensor of shape (n, d_omega)
    observation : Tensor of shape (n, d_y)
        Whitened, ``L^{-1} g(omega) / s``.
    jacobian : Tensor of shape (n, d_y, d_omega)
        Jacobian of the whitened observation.
    hessian : Tensor of shape (n, d_omega, d_omega)
        ``J^T J + I``.
    objective : Tensor of shape (n,)
        phi.
    arrived : Tensor of bool, shape (n,)
        Whether a further step is predicted to lower phi by less than the tolerance.
    """

    omega: torch.Tensor
    observation: torch.Tensor
    jacobian: torch.Tensor
    hessian: torch.Tensor
    objective: torch.Tensor
    arrived: torch.Tensor

    def of(self, rows: torch.Tensor) -> Modes:
        """Return the modes of some of the systems."""
        return Modes(*(getattr(self, field.name)[rows] for field in fields(self)))

    def replaced(self, rows: torch.Tensor, other: Modes) -> Modes:
        """Return these modes with some rows taken from others."""
        changed = []
        for field in fields(self):
            values = getattr(self, field.name).clone()
            values[rows] = getattr(other, field.name)
            changed.append(values)
        return Modes(*changed)


def find_modes(
    push_forward: PushForward,
    noise: Whitening,
    whitened: torch.Tensor,
    start: torch.Tensor,
    steps: int,
    tolerance: float = 1e-4,
) -> Modes:
    """Descend from ``start`` to a mode of each system.

    Parameters
    ----------
    push_forward : PushForward
    noise : Whitening
        Whitening of the n systems.
    whitened : Tensor of shape (n, d_y)
        Whitened observations.
    start : Tensor of shape (n, d_omega)
    steps : int
        Largest number of steps of any system.
    tolerance : float
        A system has arrived if the next step is predicted to lower phi by less.
    """
    omega = start.clone()
    n, d = omega.shape
    damping = torch.full((n,), _FIRST_DAMPING, dtype=omega.dtype)
    observation, jacobian = _linearised(push_forward, noise, omega, torch.arange(n))
    objective = _objective(whitened, observation, omega)
    arrived = torch.zeros(n, dtype=torch.bool)
    eye = torch.eye(d, dtype=omega.dtype)
    for step in range(steps + 1):
        moving = torch.nonzero(~arrived)[:, 0]
        J, now = jacobian[moving], omega[moving]
        residual = whitened[moving] - observation[moving]
        slope = (J.transpose(1, 2) @ residual[..., None])[..., 0] - now
        hessian = J.transpose(1, 2) @ J + eye
        weight = damping[moving, None] * hessian.diagonal(dim1=1, dim2=2)
        newton = torch.linalg.solve(hessian, slope)
        move = torch.linalg.solve(hessian + torch.diag_embed(weight), slope)
        small = ~((newton * slope).sum(dim=1) / 2 > tolerance)
        arrived[moving] = small
        moving, move = moving[~small], move[~small]
        if step == steps or not len(moving):
            break
        trial = omega[moving] + move
        there = noise.rows(moving).apply(push_forward.rows(moving)(trial))
        value = _objective(whitened[moving], there, trial)
        better = value < objective[moving]
        damping[moving] *= torch.where(better, _LESS, _MORE)
        gained = moving[better]
        if len(gained):
            omega[gained], objective[gained] = trial[better], value[better]
            observation[gained], jacobian[gained] = _linearised(
                push_forward, noise, omega[gained], gained
            )
    hessian = jacobian.transpose(1, 2) @ jacobian + eye
    return Modes(omega, observation, jacobian, hessian, objective, arrived)


def _linearised(
    push_forward: PushForward, noise: Whitening, omega: torch.Tensor, rows: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    own = noise.rows(rows)
    value, jacobian = push_forward.rows(rows).linearise(omega)
    # Whitening acts on the last axis.
    return own.apply(value), own.apply(jacobian.transpose(1, 2)).transpose(1, 2)


def _objective(
    whitened: torch.Tensor, observation: torch.Tensor, omega: torch.Tensor
) -> torch.Tensor:
    value = 0.5 * ((whitened - observation) ** 2).sum(dim=1) + 0.5 * (omega**2).sum(dim=1)
    return torch.where(torch.isfinite(value), value, torch.inf)
