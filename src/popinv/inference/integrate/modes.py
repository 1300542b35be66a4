r"""Posterior modes of the standard normal numbers of each system.

The negative log posterior of a system is, up to a constant,

.. math:: \phi(\omega) = -\log p(y \mid g(\omega)) + \tfrac12 |\omega|^2 .

Each system takes steps with its own Levenberg damping to a minimum, by the exact gradient and the
matrix ``H = J^T W J + I``. J is the Jacobian of g and W the Fisher information of the observation
about g (:mod:`popinv.inference.density.density`). Under normal noise these are Gauss-Newton
steps. Systems that have converged take no further steps.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Protocol

from popinv.inference.density.density import Density
from popinv.late import torch

# Information of wider densities about modes, as a share of the observation's information there.
LESS_INFORMATION = 0.1
# Damping: at first, its factors after a step that gains and one that does not, and the largest.
FIRST_DAMPING, LESS, MORE, MOST_DAMPING = 1e-3, 0.2, 5.0, 1e12
# A step that is predicted to lower phi by less ends the search.
TOLERANCE = 1e-4


class Signals(Protocol):
    """The noise-free observations of systems as functions of their standard normal numbers."""

    def rows(self, index: torch.Tensor) -> Signals:
        """Return the signals of some of the systems."""

    def __call__(self, omega: torch.Tensor) -> torch.Tensor:
        """Return g (n, d_y) for omega (n, d_omega)."""

    def linearise(self, omega: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return g and its Jacobian in omega (n, d_y, d_omega)."""


@dataclass(frozen=True)
class Modes:
    """The modes of n systems.

    Attributes
    ----------
    omega : Tensor of shape (n, d_omega)
    signal : Tensor of shape (n, d_y)
        g(omega).
    jacobian : Tensor of shape (n, d_y, d_omega)
        J.
    hessian : Tensor of shape (n, d_omega, d_omega)
        H.
    objective : Tensor of shape (n,)
        phi.
    arrived : Tensor of bool, shape (n,)
        Whether a further step is predicted to lower phi by less than the tolerance.
    """

    omega: torch.Tensor
    signal: torch.Tensor
    jacobian: torch.Tensor
    hessian: torch.Tensor
    objective: torch.Tensor
    arrived: torch.Tensor

    def of(self, rows: torch.Tensor) -> Modes:
        """Return the modes of some of the systems."""
        return Modes(*(getattr(self, field.name)[rows] for field in fields(self)))

    @property
    def evidence(self) -> torch.Tensor:
        """The negative logarithm of the integral by Laplace's method, without constants, (n,)."""
        return self.objective + 0.5 * torch.logdet(self.hessian)

    def distance(self, omega: torch.Tensor) -> torch.Tensor:
        """Return the squared distance of omega (n, d_omega) in posterior deviations, (n,)."""
        apart = omega - self.omega
        return (apart[:, None] @ self.hessian @ apart[..., None])[:, 0, 0]

    def replaced(self, rows: torch.Tensor, other: Modes) -> Modes:
        """Return these modes with some rows taken from others."""
        changed = []
        for field in fields(self):
            values = getattr(self, field.name).clone()
            values[rows] = getattr(other, field.name)
            changed.append(values)
        return Modes(*changed)


def with_information(hessian: torch.Tensor, share: float = LESS_INFORMATION) -> torch.Tensor:
    """Return ``H = J^T W J + I`` (..., d, d) with a share of the observation's information."""
    eye = torch.eye(hessian.shape[-1], dtype=hessian.dtype)
    return share * (hessian - eye) + eye


def find_modes(
    push_forward: Signals,
    density: Density,
    start: torch.Tensor,
    steps: int,
    tolerance: float = TOLERANCE,
) -> Modes:
    """Descend from ``start`` to a mode of each system.

    Parameters
    ----------
    density : Density
        Of the n systems.
    start : Tensor of shape (n, d_omega)
    steps : int
        Largest number of steps of any system.
    tolerance : float
        A system has converged if the next step is predicted to lower phi by less.
    """
    omega, n = start.clone(), len(start)
    damping = torch.full((n,), FIRST_DAMPING, dtype=omega.dtype)
    signal, jacobian = push_forward.linearise(omega)
    # Rows are replaced below, and a simulator may return views of one row.
    signal, jacobian = signal.clone(), jacobian.clone()
    objective, hessian, slope = _expanded(density, omega, signal, jacobian)
    arrived = torch.zeros(n, dtype=torch.bool)
    for step in range(steps + 1):
        moving = torch.nonzero(~arrived)[:, 0]
        H, s = hessian[moving], slope[moving]
        weight = damping[moving, None] * H.diagonal(dim1=1, dim2=2)
        newton, move = torch.linalg.solve(H, s), torch.linalg.solve(H + weight.diag_embed(), s)
        small = ~((newton * s).sum(dim=1) / 2 > tolerance) | (damping[moving] > MOST_DAMPING)
        arrived[moving] = small
        moving, move = moving[~small], move[~small]
        if step == steps or not len(moving):
            break
        trial = omega[moving] + move
        there = density.rows(moving).at(push_forward.rows(moving)(trial))
        better = _finite(0.5 * (trial**2).sum(dim=1) - there.log) < objective[moving]
        damping[moving] *= torch.where(better, LESS, MORE)
        gained = moving[better]
        if len(gained):
            omega[gained] = trial[better]
            signal[gained], jacobian[gained] = push_forward.rows(gained).linearise(omega[gained])
            objective[gained], hessian[gained], slope[gained] = _expanded(
                density.rows(gained), omega[gained], signal[gained], jacobian[gained]
            )
    return Modes(omega, signal, jacobian, hessian, objective, arrived)


def _expanded(
    density: Density, omega: torch.Tensor, signal: torch.Tensor, jacobian: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return phi, H, and the gradient of -phi."""
    at, eye = density.at(signal), torch.eye(omega.shape[1], dtype=omega.dtype)
    slope = (jacobian.transpose(1, 2) @ at.slope[..., None])[..., 0] - omega
    objective = _finite(0.5 * (omega**2).sum(dim=1) - at.log)
    return objective, density.information(signal, jacobian) + eye, slope


def _finite(value: torch.Tensor) -> torch.Tensor:
    return torch.where(torch.isfinite(value), value, torch.inf)
