r"""Importance proposals of a system's standard normal numbers, with their density.

*Laplace.* About the mode omega* with Gauss-Newton matrix ``H = R^T R`` the posterior is close to
N(omega*, H^{-1}). A draw is ``omega = omega* + R^{-1} xi`` with xi standard normal.

*Transported.* If the noise is small compared with the signal, the posterior is thin and curved, and
these draws leave it. Randomise-then-optimise (Bardsley, Solonen, Haario and Laine, SIAM J. Sci.
Comput. 36, 2014) takes the solution omega of

.. math:: R^{-T}\bigl(\omega + J^T W (g(\omega) - g^*) - J^T u^*\bigr) = \xi,

with the signal g*, the Jacobian J, the information W and the slope u* of log p(y | g) at the mode.
For linear g this is the Laplace draw. A few chord steps,

.. math:: \omega \leftarrow \omega - H^{-1}\bigl(\omega + J^T W (g(\omega) - g^*) - J^T u^*\bigr)
    + R^{-1}\xi,

come close to it. Each step is an explicit map of xi, so the density of the result is known exactly
from the product of the Jacobians, and the importance weights correct for stopping early. Far from
the mode the steps may diverge, and the computed density would cover only one sheet of a folded map.
These draws get an infinite density, and hence weight zero.

*Defensive.* If the law's map is strongly curved, its slope at the mode says little about the
posterior elsewhere. Some draws then come from a wider Laplace density and some from the law itself,
and all have the density of the mixture, so that their weights are bounded (Hesterberg, Weighted
average importance sampling and defensive mixture distributions, Technometrics 37, 1995). A system
with few observations may have tails as wide as the law's. Laplace draws hardly ever reach these
tails, and the likelihood would be too small; its value is therefore computed from defensive draws.
"""

from __future__ import annotations

from popinv.inference.integrate.modes import Modes, with_information
from popinv.inference.integrate.push_forward import PushForward
from popinv.late import torch

# In posterior standard deviations. After a longer last step, the iteration has not converged.
_LONGEST_LAST_STEP = 4.0


def laplace(modes: Modes, xi: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return Laplace draws and their log density, without the constant of the normal density.

    Parameters
    ----------
    xi : Tensor of shape (n, S, d_omega)
        Standard normal.

    Returns
    -------
    omega : Tensor of shape (n, S, d_omega)
    log_density : Tensor of shape (n, S)
    """
    factor, root = _factors(modes)
    logdet = torch.log(factor.diagonal(dim1=1, dim2=2)).sum(dim=1)
    omega = modes.omega[:, None] + xi @ root.transpose(1, 2)
    return omega, -0.5 * (xi**2).sum(dim=2) + logdet[:, None]


def laplace_log_density(modes: Modes, omega: torch.Tensor) -> torch.Tensor:
    """Return the log density (n, S) of Laplace draws at omega (n, S, d_omega), as they do."""
    factor, _ = _factors(modes)
    logdet = torch.log(factor.diagonal(dim1=1, dim2=2)).sum(dim=1)
    return -0.5 * (((omega - modes.omega[:, None]) @ factor) ** 2).sum(dim=2) + logdet[:, None]


def transported(
    push_forward: PushForward,
    weighted: torch.Tensor,
    goal: torch.Tensor,
    modes: Modes,
    xi: torch.Tensor,
    corrections: int,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the ends of chord steps from Laplace draws; results are as for :func:`laplace`.

    Parameters
    ----------
    push_forward : PushForward
        Of k observations: the density's observations or fewer.
    weighted : Tensor of shape (n, k, d_omega)
        W J at the modes.
    goal : Tensor of shape (n, d_omega)
        ``J^T W g* + J^T u*``.
    modes, xi
        As for :func:`laplace`.
    corrections : int
        Number of chord steps, at least 1.
    """
    (n, count, d), (factor, root) = xi.shape, _factors(modes)
    eye, back = torch.eye(d, dtype=xi.dtype), root.transpose(1, 2)
    shift = xi @ back
    omega, inverse = modes.omega[:, None] + shift, root @ back
    # Transposed, products with what all draws of a system share are one product for each system.
    derivative = back.repeat(1, count, 1)
    for _ in range(corrections):
        value, jacobian = push_forward.linearise(omega.reshape(n * count, d))
        slope = omega + value.reshape(n, count, -1) @ weighted - goal[:, None]
        before, omega = omega, omega - slope @ inverse + shift
        along = jacobian.transpose(1, 2).reshape(n, count * d, -1) @ weighted
        curved = eye + along.reshape(n * count, d, d)
        bent = derivative.reshape(n * count, d, d) @ curved
        derivative = derivative - bent.reshape(n, count * d, d) @ inverse
        derivative = derivative + back.repeat(1, count, 1)
    derivative = derivative.reshape(n, count, d, d)
    last = (omega - before) @ factor
    diverged = (last**2).sum(dim=2) > _LONGEST_LAST_STEP**2
    log_density = -0.5 * (xi**2).sum(dim=2) - torch.linalg.slogdet(derivative)[1]
    return omega, torch.where(diverged, torch.inf, log_density)


def _factors(modes: Modes) -> tuple[torch.Tensor, torch.Tensor]:
    """Return L and L^{-T} of ``H = L L^T`` at the modes."""
    factor = torch.linalg.cholesky(modes.hessian)
    eye = torch.eye(factor.shape[1], dtype=factor.dtype).expand_as(factor)
    return factor, torch.linalg.solve_triangular(factor.transpose(1, 2), eye, upper=True)


def defensive(
    centre: torch.Tensor, hessian: torch.Tensor, xi: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return defensive draws and their log density, without the constant of the normal density.

    Half of the draws come from the Laplace density, a quarter from the wider density, and a quarter
    from the law. Every quarter of the draws has this composition. Results are as for
    :func:`laplace`.

    Parameters
    ----------
    centre : Tensor of shape (n, 1, d)
        The modes.
    hessian : Tensor of shape (n, d, d)
        H there.
    xi : Tensor of shape (n, S, d)
    """
    factors = [torch.linalg.cholesky(each) for each in (hessian, with_information(hessian))]
    near, far = (
        torch.linalg.solve_triangular(factor.transpose(1, 2), xi.transpose(1, 2), upper=True)
        for factor in factors
    )
    # Neighbours among evenly spread points fill the cube; every fourth point fills a part of it.
    quarter = xi.shape[1] // 4
    place = (4 * torch.arange(quarter) // quarter).clamp(min=1).repeat(4)
    which = place[None, :, None]
    omega = torch.where(which == 1, centre + near.transpose(1, 2), centre + far.transpose(1, 2))
    omega = torch.where(which == 3, xi, omega)
    logs = []
    for factor in factors:
        e = (omega - centre) @ factor
        logdet = torch.log(factor.diagonal(dim1=1, dim2=2)).sum(dim=1)
        logs.append(logdet[:, None] - 0.5 * (e**2).sum(dim=2))
    logs.append(-0.5 * (omega**2).sum(dim=2))
    shares = torch.bincount(place, minlength=4)[1:].to(xi.dtype) / len(place)
    return omega, torch.logsumexp(torch.stack(logs, dim=2) + torch.log(shares), dim=2)
