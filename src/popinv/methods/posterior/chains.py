"""Markov chains: moves that leave a density invariant and need no tuning, and how well they mix.

Both moves use a normal density near the target as reference. If the target were the reference
itself, the chains would be independent draws. A poor reference costs time, but the draws remain
correct.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from popinv.late import torch

# Maps omega (rows, d) and the numbers of the rows to logarithms of the target (rows,).
LogDensity = Callable[["torch.Tensor", "torch.Tensor"], "torch.Tensor"]
# Gives uniform numbers for all rows, shape (n, S).
Uniform = Callable[[], "torch.Tensor"]

# A system is finished if R-hat of all its parameters is no larger, and the effective size suffices.
LARGEST_R_HAT = 1.05
# An angle is accepted long before; so small a bracket means that the density is not a function.
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

    S chains of each of n systems are at omega (n, S, d), with the logarithms ``current`` (n, S) of
    the target. Row (i, j) has the number i S + j. The reference is ``N(m, L L^T)``: m (n, S, d), L
    and its inverse (n, d, d). xi (n, S, d) is standard normal. The new omega and logarithms are
    returned, with the number of evaluations.
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

    The arguments and results are as in :func:`elliptical_slice`, except for the draws of a density
    near the target, ``proposed`` (n, S, d), and its logarithms at omega and at the draws, each of
    shape (n, S).
    """
    n, count, d = omega.shape
    there = log_density(proposed.reshape(-1, d), torch.arange(n * count)).reshape(n, count)
    gain = there - log_proposal[1] - current + log_proposal[0]
    accepted = torch.log(uniform()) < gain
    omega = torch.where(accepted[..., None], proposed, omega)
    return omega, torch.where(accepted, there, current), n * count


# A smaller range relative to the size is rounding: the parameter does not vary.
_ROUNDING = 1e-12


def _varies(z: np.ndarray) -> np.ndarray:
    """Return whether anything but rounding varies, shape of z without two axes."""
    return np.ptp(z, axis=(0, 1)) > _ROUNDING * np.abs(z).max(axis=(0, 1))


def split_r_hat(z: np.ndarray) -> np.ndarray:
    """Return Gelman and Rubin's statistic of the halves of chains z (chains, draws, ...), (...).

    It is sqrt(((n - 1)/n W + B/n) / W) with the variances W within and B between the halves of n
    draws, and 1 if nothing varies. The last draw is left out if their number is odd.
    """
    half = z.shape[1] // 2
    halves = np.concatenate([z[:, :half], z[:, half : 2 * half]])
    within = halves.var(axis=1, ddof=1).mean(axis=0)
    between = half * halves.mean(axis=1).var(axis=0, ddof=1)
    total = (half - 1) / half * within + between / half
    varies = _varies(z) & (within > 0)
    return np.sqrt(np.where(varies, total / np.where(varies, within, 1), 1.0))


def effective_sample_size(z: np.ndarray) -> np.ndarray:
    r"""Return the number of equivalent independent draws of chains z (chains, draws, ...), (...).

    .. math:: S_e = \frac{c\,n}{1 + 2 \sum_{t \ge 1} \rho_t}, \qquad
        \rho_t = 1 - \frac{W - \bar\gamma_t}{V},

    with c chains of n draws, gamma_t the mean over chains of their autocovariances,
    W = gamma_0 n/(n - 1), and V the variance that also includes the differences between chains, as
    in R-hat. The sum ends with Geyer's initial monotone sequence: sums of neighbouring pairs, while
    they are positive, and none larger than the one before (Statistical Science 7, 1992). The number
    is at most c n log10(c n), as is usual for alternating chains, and c n if nothing varies.
    """
    chains, n = z.shape[:2]
    centred = z - z.mean(axis=1, keepdims=True)
    spectrum = np.fft.rfft(centred, 2 * n, axis=1)
    covariance = np.fft.irfft(np.abs(spectrum) ** 2, 2 * n, axis=1)[:, :n].mean(axis=0) / n
    within = covariance[0] * n / (n - 1)
    between = z.mean(axis=1).var(axis=0, ddof=1) if chains > 1 else 0.0
    total = (n - 1) / n * within + between
    varies = _varies(z)
    correlation = 1 - (within - covariance) / np.where(varies, total, 1)
    correlation[0] = 1
    pairs = correlation[: n // 2 * 2].reshape(n // 2, 2, *z.shape[2:]).sum(axis=1)
    pairs[np.cumsum(pairs <= 0, axis=0) > 0] = 0
    pairs = np.minimum.accumulate(pairs, axis=0)
    most = np.log10(chains * n)
    sample_sizes = chains * n / np.maximum(2 * pairs.sum(axis=0) - 1, 1 / most)
    return np.where(varies, sample_sizes, float(chains * n))
