r"""Control variates for the scores of the marginal likelihood.

With pi(omega) the posterior of a system, any smooth field v gives

.. math:: E_\pi[v \cdot \nabla \log \pi + \operatorname{div} v] = 0

(Stein's identity; a zero-variance control variate of Mira, Solgi and Imparato, Stat. Comput. 23,
2013). Fields ``v = a + A (omega - omega*)`` about the mode are chosen so that no variance is left
for a linear model of normal parameters. With whitened residual r* and Jacobians J in omega, J_z in
z at the mode, and ``H = J^T J + I``:

- *a parameter of the law* moves every observation by many deviations of the noise, until omega
  compensates for it: with t = dT/dalpha at the mode and D its derivative in omega,
  ``a = H^{-1} (J^T J_z t - D^T J_z^T r*)`` and ``A = H^{-1} J^T J_z D``;
- *a parameter of the noise*, with ``E = L^{-1} (dGamma) L^{-T}``: ``a = H^{-1} J^T E r*`` and
  ``A = -H^{-1} J^T E J / 2``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from popinv.inference.likelihood.modes import Modes
from popinv.inference.likelihood.push_forward import PushForward
from popinv.inference.likelihood.whitening import NoiseChange, Whitening

__all__ = ["Field", "law_fields", "noise_field"]


@dataclass(frozen=True)
class Field:
    """v = a + A (omega - mode), for n systems.

    Attributes
    ----------
    constant : Tensor of shape (n, d_omega)
        a.
    linear : Tensor of shape (n, d_omega, d_omega)
        A.
    """

    constant: torch.Tensor
    linear: torch.Tensor

    def variate(self, shift: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
        """Return ``v . grad log pi + tr A`` of each draw (n, S).

        Parameters
        ----------
        shift : Tensor of shape (n, S, d_omega)
            omega less the mode.
        gradient : Tensor of shape (n, S, d_omega)
            Gradient of log pi.
        """
        field = self.constant[:, None] + shift @ self.linear.transpose(1, 2)
        trace = self.linear.diagonal(dim1=1, dim2=2).sum(dim=1)
        return (field * gradient).sum(dim=2) + trace[:, None]


def law_fields(
    push_forward: PushForward, noise: Whitening, whitened: torch.Tensor, modes: Modes
) -> Iterator[Field]:
    """Yield the field of each parameter of the law; the arguments are those of `noise_field`."""
    base, mixed = push_forward.law_derivatives(modes.omega)
    jacobian = push_forward.simulator_jacobian(modes.omega)
    jacobian = noise.apply(jacobian.transpose(1, 2)).transpose(1, 2)
    across = modes.jacobian.transpose(1, 2) @ jacobian
    residual = (whitened - modes.observation)[..., None]
    pulled = jacobian.transpose(1, 2) @ residual
    for i in range(base.shape[2]):
        slope = across @ base[:, :, i, None] - mixed[i].transpose(1, 2) @ pulled
        both = torch.linalg.solve(modes.hessian, torch.cat([slope, across @ mixed[i]], dim=2))
        yield Field(both[..., 0], both[..., 1:])


def noise_field(
    noise: Whitening, whitened: torch.Tensor, modes: Modes, change: NoiseChange
) -> Field:
    """Return the field of a parameter of the noise.

    Parameters
    ----------
    noise : Whitening
    whitened : Tensor of shape (n, d_y)
        Whitened observations.
    modes : Modes
    change : NoiseChange
    """
    J = modes.jacobian
    residual = whitened - modes.observation
    # E is symmetric.
    along = change.times(J.transpose(1, 2), noise.pattern).transpose(1, 2)
    slope = along.transpose(1, 2) @ residual[..., None]
    if change.outside is not None:
        slope = slope + J.transpose(1, 2) @ change.outside.across[..., None]
    constant = torch.linalg.solve(modes.hessian, slope)
    linear = torch.linalg.solve(modes.hessian, J.transpose(1, 2) @ along)
    return Field(constant[..., 0], -0.5 * linear)
