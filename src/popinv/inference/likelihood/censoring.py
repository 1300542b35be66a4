r"""Observations below a limit of quantification: density, information and moments.

For independent Gaussian noise of standard deviation d about g, and a limit c, a value that is only
known to lie below the limit contributes ``log Phi(a)`` to the log likelihood, with
``a = (c - g) / d``. The observation ``max(y, c)`` has the moments

.. math::
    E = c\, \Phi(a) + g\, (1 - \Phi(a)) + d\, \varphi(a), \qquad
    E_2 = c^2 \Phi(a) + (g^2 + d^2) (1 - \Phi(a)) + d\, (g + c)\, \varphi(a)

(Tobin, Econometrica 26, 1958).
"""

from __future__ import annotations

import math

import torch


def censored_moments(
    g: torch.Tensor, d: torch.Tensor, limit: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the mean and the standard deviation of max(y, limit) given g, entry by entry.

    Parameters
    ----------
    g, d, limit : Tensor
        Of shapes that fit together.
    """
    a = (limit - g) / d
    above = torch.special.ndtr(-a)
    density = _density(a)
    # About the limit, with g = c - a d, no digits are lost where nearly all is censored.
    first = d * (density - a * above)
    second = d**2 * ((a**2 + 1) * above - a * density)
    variance = torch.clamp(second - first**2, min=0.0)
    return limit + first, torch.sqrt(variance + torch.finfo(g.dtype).tiny)


def tail_curvature(a: torch.Tensor) -> torch.Tensor:
    """Return the negative second derivative of log Phi(a), between 0 and 1."""
    hazard = torch.exp(torch.log(_density(a)) - torch.special.log_ndtr(a))
    # Far in the lower tail the density underflows, and the curvature is 1.
    value = torch.where(a < -30, 1.0, hazard * (hazard + a))
    return value.clamp(0.0, 1.0)


def _density(a: torch.Tensor) -> torch.Tensor:
    return torch.exp(-0.5 * a**2) / math.sqrt(2 * math.pi)
