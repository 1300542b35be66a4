r"""Control variates for the scores of the marginal likelihood.

With pi(omega) the posterior of a system, any smooth field v gives

.. math:: E_\pi[v \cdot \nabla \log \pi + \operatorname{div} v] = 0

(Stein's identity; a zero-variance control variate of Mira, Solgi and Imparato, Stat. Comput. 23,
2013). Fields ``v = a + A (omega - omega*)`` about the mode are chosen so that no variance is left
for a linear model of normal parameters.

A parameter of the law moves every observation by many deviations of the noise, until omega
compensates for it. With t = dT/dalpha at the mode and D its derivative in omega, the Jacobians J in
omega and J_z in z, the slope u of log p(y | g), the information W, and ``H = J^T W J + I``,

.. math:: a = H^{-1} (J^T W J_z t - D^T J_z^T u), \qquad A = H^{-1} J^T W J_z D .

Those of the noise are :meth:`popinv.inference.likelihood.density.Density.noise_fields`.
"""

from __future__ import annotations

from collections.abc import Iterator

from popinv.inference.likelihood.density import Density, Field
from popinv.inference.likelihood.modes import Modes
from popinv.inference.likelihood.push_forward import PushForward


def law_fields(push_forward: PushForward, density: Density, modes: Modes) -> Iterator[Field]:
    """Yield the field of each parameter of the law."""
    base, mixed = push_forward.law_derivatives(modes.omega)
    jacobian = push_forward.simulator_jacobian(modes.omega)
    across = density.information(modes.signal, modes.jacobian, jacobian)
    pulled = jacobian.transpose(1, 2) @ density.at(modes.signal).slope[..., None]
    for i in range(base.shape[2]):
        slope = across @ base[:, :, i, None] - mixed[i].transpose(1, 2) @ pulled
        yield Field.solved(modes.hessian, slope, across @ mixed[i])
