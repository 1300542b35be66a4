"""Moves of Markov chains that leave a density invariant and need no tuning.

Both moves use a normal density near the target: its own chains would be independent draws if the
target were that density. A poor reference costs time, and not correctness.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

# Maps omega (rows, d) and the numbers of the rows to logarithms of the target (rows,).
LogDensity = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
# Gives uniform numbers for all rows, shape (n, S).
Uniform = Callable[[], torch.Tensor]

# An angle is accepted long before; a bracket so small would be a density that is not a function.
_MOST_SHRINKINGS = 200


def elliptical_slice(
    log_density: LogDensity,
    omega: torch.Tensor,
    current: torch.Tensor,
    reference: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
    xi: torch.Tensor,
    uniform: Uniform,
) -> tuple[torch.Tensor, torch.Tensor, int]:
    r"""Move every row once by elliptical slice sampling with a normal reference.

    The target is written as the normal density times a ratio. An ellipse through the row and a draw
    of the normal density is searched, from a random angle inwards, for a point above a random level
    of the ratio (Murray, Adams and MacKay, AISTATS 2010; with a reference other than the prior:
    Nishihara, Murray and Adams, JMLR 15, 2014).

    Parameters
    ----------
    log_density : callable
    omega : Tensor of shape (n, S, d)
        S chains of each of n systems. Row (i, j) has the number i S + j.
    current : Tensor of shape (n, S)
        Its logarithms of the target.
    reference : (mean, factor, inverse)
        ``N(m, L L^T)``: m (n, S, d), L and its inverse (n, d, d).
    xi : Tensor of shape (n, S, d)
        Standard normal.
    uniform : callable

    Returns
    -------
    omega, current : Tensor
        Of the shapes that were given.
    evaluations : int
    """
    mean, factor, inverse = reference
    d = omega.shape[2]
    a, b = omega - mean, xi @ factor.mT
    # On the ellipse the whitened place is e cos + xi sin, which gives the reference's density.
    e, a, b, xi = (x.reshape(-1, d) for x in (a @ inverse.mT, a, b, xi))
    mean, moved, value = mean.reshape(-1, d), omega.reshape(-1, d).clone(), current.reshape(-1)
    level = value + 0.5 * (e**2).sum(dim=1) + torch.log(uniform()).reshape(-1)
    angle = 2 * torch.pi * uniform().reshape(-1)
    low, high = angle - 2 * torch.pi, angle.clone()
    value, waiting, evaluations = value.clone(), torch.arange(len(moved)), 0
    for _ in range(_MOST_SHRINKINGS):
        cosine, sine = torch.cos(angle[waiting])[:, None], torch.sin(angle[waiting])[:, None]
        proposed = mean[waiting] + a[waiting] * cosine + b[waiting] * sine
        there = log_density(proposed, waiting)
        evaluations += len(waiting)
        ratio = there + 0.5 * ((e[waiting] * cosine + xi[waiting] * sine) ** 2).sum(dim=1)
        accepted = ratio > level[waiting]
        moved[waiting[accepted]] = proposed[accepted]
        value[waiting[accepted]] = there[accepted]
        share = uniform().reshape(-1)
        waiting = waiting[~accepted]
        if not len(waiting):
            break
        # The bracket shrinks towards the present point, at angle 0.
        below = angle[waiting] < 0
        low[waiting[below]] = angle[waiting[below]]
        high[waiting[~below]] = angle[waiting[~below]]
        angle[waiting] = low[waiting] + share[waiting] * (high[waiting] - low[waiting])
    return moved.reshape(omega.shape), value.reshape(current.shape), evaluations


def metropolis(
    log_density: LogDensity,
    omega: torch.Tensor,
    current: torch.Tensor,
    proposed: torch.Tensor,
    log_proposal: tuple[torch.Tensor, torch.Tensor],
    uniform: Uniform,
) -> tuple[torch.Tensor, torch.Tensor, int]:
    """Offer every row an independent draw, which it takes with the probability of Metropolis.

    Parameters
    ----------
    log_density, omega, current, uniform
        As for :func:`elliptical_slice`, which has the same results.
    proposed : Tensor of shape (n, S, d)
        Draws of a density near the target.
    log_proposal : (Tensor, Tensor), each of shape (n, S)
        Logarithms of that density at omega and at the draws.
    """
    n, count, d = omega.shape
    there = log_density(proposed.reshape(-1, d), torch.arange(n * count)).reshape(n, count)
    gain = there - log_proposal[1] - current + log_proposal[0]
    accepted = torch.log(uniform()) < gain
    omega = torch.where(accepted[..., None], proposed, omega)
    return omega, torch.where(accepted, there, current), n * count
