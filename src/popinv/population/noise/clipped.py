r"""Mean and covariance of noisy observations with limits, given the noise-free ones.

Of an observation y = g + d u only T(y) is held (:mod:`popinv.population.limits`). Its mean and
variance given g are sums of the integrals of 1, u and u^2 between the limits (Tobin, Econometrica
26, 1958, for one limit), for u normal or of Student's t distribution.

The covariance of two entries whose normal noise has the correlation rho is a series in Hermite
polynomials (Mehler's formula),

.. math:: \operatorname{Cov}(T_i, T_j) = \sum_{k \ge 1} c_{ik} c_{jk} \rho^k, \qquad
    c_{ik} = E\, T_i(g + d u) \operatorname{He}_k(u) / \sqrt{k!},

whose coefficients are integrals of the same kind. Every term is positive semidefinite, and so is
the rest, which the exact variances leave on the diagonal. Over 24 terms, covariances are off by
less than 0.0005 of the product of the deviations for correlations up to 0.9, and 0.003 beyond.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from popinv.population.noise.intervals import (
    FAR,
    log_density,
    log_interval,
    normal_cdf,
    standardised,
)

_TERMS = 24


def clipped_moments(
    g: torch.Tensor,
    d: torch.Tensor,
    limits: Sequence[torch.Tensor],
    independent: bool,
    tails: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    r"""Return the moments of T(y) given g: its mean, and its covariance as a sum of products.

    The covariance is ``sum_k R_k * (l_k l_k^T)``, where * is the entrywise product, with the R_k of
    :func:`loading_matrices`; that of independent entries has one term, of R itself.

    Parameters
    ----------
    g, d : Tensor of shape (m, d_y)
        Noise-free observations, and deviations of the noise.
    limits : four Tensor of shape (m, d_y)
        l, u, a and b.
    independent : bool
        Whether the entries of the noise are independent; otherwise they are normal.
    tails : Tensor, optional
        log(nu - 2) of Student's t distribution, for independent entries.

    Returns
    -------
    mean : Tensor of shape (m, d_y)
    loadings : Tensor of shape (K, m, d_y)
        l_k.
    """
    lower, upper, least, most = (standardised(x, g, d) for x in limits)
    # About the limit beyond which an entry is, no digits are lost where nearly all is censored.
    centre = torch.where(lower > 0, lower, torch.where(upper < 0, upper, 0.0))
    first, second = torch.zeros_like(g), torch.zeros_like(g)
    for value, s, t in ((lower, least, lower), (upper, upper, most)):
        # A limit that is not there has no mass beyond.
        beyond = torch.where(value.abs() < FAR, value - centre, 0.0)
        mass = _mass(s, t, tails)
        first, second = first + beyond * mass, second + beyond**2 * mass
    seen = ((torch.full_like(g, -FAR), least), (lower, upper), (most, torch.full_like(g, FAR)))
    for s, t in seen:
        mass, mean, square = _integrals(s, t, tails)
        first = first + mean - centre * mass
        second = second + square - 2 * centre * mean + centre**2 * mass
    variance = (second - first**2).clamp(min=torch.finfo(g.dtype).tiny)
    mean = g + d * (centre + first)
    if independent:
        return mean, (d * torch.sqrt(variance))[None]
    terms = torch.stack(_hermite(seen, lower, upper, least, most))
    rest = torch.sqrt((variance - (terms**2).sum(dim=0)).clamp(min=0.0))
    return mean, d * torch.cat([terms, rest[None]])


def loading_matrices(correlation: torch.Tensor) -> torch.Tensor:
    """Return the R_k (K, ..., d_y, d_y) of normal noise with a correlation (..., d_y, d_y)."""
    powers = [correlation ** (k + 1) for k in range(_TERMS)]
    eye = torch.eye(correlation.shape[-1], dtype=correlation.dtype).expand_as(correlation)
    return torch.stack([*powers, eye])


def _mass(s: torch.Tensor, t: torch.Tensor, tails: torch.Tensor | None) -> torch.Tensor:
    """Return P(s < u < t), zero where s = t."""
    if tails is None:
        mirrored = s + t > 0
        low, high = torch.where(mirrored, -t, s), torch.where(mirrored, -s, t)
        return normal_cdf(high) - normal_cdf(low)
    wider = torch.where(s < t, t, s + 1)
    return torch.where(s < t, torch.exp(log_interval(s, wider, tails)), 0.0)


def _integrals(
    s: torch.Tensor, t: torch.Tensor, tails: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the integrals of 1, u and u^2 over s < u < t."""
    mass = _mass(s, t, tails)
    means, squares = [], []
    for x in (s, t):
        of_mean = of_square = torch.exp(log_density(x, tails))
        if tails is not None:
            width = 1 + x**2 / torch.exp(tails)
            of_square = width * of_square
            of_mean = of_square / (1 + torch.exp(-tails))
        means.append(of_mean)
        squares.append(x * of_square)
    return mass, means[0] - means[1], mass + squares[0] - squares[1]


def _hermite(
    seen: Sequence[tuple[torch.Tensor, torch.Tensor]],
    lower: torch.Tensor,
    upper: torch.Tensor,
    least: torch.Tensor,
    most: torch.Tensor,
) -> list[torch.Tensor]:
    """Return c_k / d for k = 1, ..., by parts: T' is 1 where y is seen, and T jumps at a and b."""
    terms = [torch.zeros_like(lower) for _ in range(_TERMS)]
    for s, t in seen:
        terms[0] = terms[0] + _mass(s, t, None)
    edges = [(s, 1.0) for s, _ in seen] + [(t, -1.0) for _, t in seen]
    for x, sign in edges:
        for k, value in enumerate(_functions(x), start=2):
            if k <= _TERMS:
                terms[k - 1] = terms[k - 1] + sign * value / math.sqrt(k * (k - 1))
    for x, jump in ((least, lower - least), (most, most - upper)):
        size = torch.where(x.abs() < FAR, jump, 0.0)
        for k, value in enumerate(_functions(x), start=1):
            terms[k - 1] = terms[k - 1] + size * value / math.sqrt(k)
    return terms


def _functions(x: torch.Tensor) -> list[torch.Tensor]:
    """Return He_n(x) phi(x) / sqrt(n!) for n = 0, ..., as many as there are terms."""
    values = [torch.exp(log_density(x, None))]
    # Beyond, the density is zero.
    x = x.clamp(-50.0, 50.0)
    values.append(x * values[0])
    for n in range(1, _TERMS - 1):
        values.append((x * values[n] - math.sqrt(n) * values[n - 1]) / math.sqrt(n + 1))
    return values
