r"""The quantile of a one-dimensional mixture of normal laws, and its derivatives.

The cumulative distribution function is :math:`F(x) = \sum_k w_k \Phi((x - m_k) / s_k)`, with
density f. The quantile at omega solves ``F(x) = Phi(omega)``. The implicit function theorem gives
its derivatives,

.. math:: \frac{dx}{d\theta} = -\frac{\partial_\theta F}{f}, \qquad
    \frac{dx}{d\omega} = \frac{\phi(\omega)}{f} .
"""

from __future__ import annotations

import math

import torch

_LOG_ROOT = 0.5 * math.log(2 * math.pi)
_MOST_STEPS = 200
# Tolerance of the quantile, in shares of the ends of its bracket.
_TOLERANCE = 4e-16
# Length of a Newton step, in standard deviations, after which no other is needed.
_LAST_STEP = 3e-9
# The derivative is finite in a gap between components that holds no mass in double precision.
_STEEPEST = 600.0


def log_normal_density(
    x: torch.Tensor, mean: torch.Tensor, log_deviation: torch.Tensor
) -> torch.Tensor:
    """Return the log density of a normal law; the arguments broadcast."""
    e = (x - mean) * torch.exp(-log_deviation)
    return -0.5 * e**2 - log_deviation - _LOG_ROOT


def mixture_quantile(
    log_weights: torch.Tensor,
    means: torch.Tensor,
    log_deviations: torch.Tensor,
    omega: torch.Tensor,
) -> torch.Tensor:
    r"""Return x with ``F(x) = Phi(omega)``, differentiable once in all arguments.

    With ``omega > 0`` the mixture is reflected at zero. The lower tail then stands for the upper
    one, and ``log F(x) = log Phi(-|omega|)`` is accurate in both. The root lies between the
    smallest and the largest of ``m_k + s_k omega``. It is found by Newton steps, and by bisection
    where they leave the bracket or shrink slowly, without a gradient. Second derivatives by torch
    are not those of the quantile.

    Parameters
    ----------
    log_weights : Tensor of shape (n, K) or (K,)
        Logarithms of weights that add up to 1.
    means, log_deviations : Tensor of shape (n, K) or (K,)
    omega : Tensor of shape (n,)

    Returns
    -------
    Tensor of shape (n,)
    """
    side = torch.where(omega > 0, -1.0, 1.0).to(omega.dtype)
    tail = -torch.abs(omega)
    reflected = side[:, None] * means
    log_probability = torch.special.log_ndtr(side * omega)
    with torch.no_grad():
        ends = reflected + torch.exp(log_deviations) * tail[:, None]
        low, high = ends.min(dim=1).values, ends.max(dim=1).values
        y = _solve(log_weights, reflected, log_deviations, log_probability, low, high)
        log_slope = _log_density(log_weights, reflected, log_deviations, y) - log_probability
        step = torch.exp(torch.clamp(-log_slope, max=_STEEPEST))
    # The value is that of y. The derivative is that of a Newton step from y.
    change = _log_cumulative(log_weights, reflected, log_deviations, y) - log_probability
    return side * (y - (change - change.detach()) * step)


def _solve(
    log_weights: torch.Tensor,
    means: torch.Tensor,
    log_deviations: torch.Tensor,
    target: torch.Tensor,
    low: torch.Tensor,
    high: torch.Tensor,
) -> torch.Tensor:
    """Return y with ``log F(y) = target`` between low and high, all of shape (n,).

    Every row stops on its own, so that its result does not depend on the others. It stops when the
    bracket, a step or the residual is as small as rounding allows.
    """
    y, size = (low + high) / 2, high - low
    tolerance = _TOLERANCE * (low.abs() + high.abs())
    rows = torch.nonzero(size > tolerance)[:, 0]
    log_weights, means, log_deviations = (
        part.expand(len(y), -1) for part in (log_weights, means, log_deviations)
    )
    for _ in range(_MOST_STEPS):
        if not len(rows):
            break
        weights, centres, widths = log_weights[rows], means[rows], log_deviations[rows]
        at, goal = y[rows], target[rows]
        value = _log_cumulative(weights, centres, widths, at) - goal
        slope = torch.exp(_log_density(weights, centres, widths, at) - value - goal)
        low[rows], high[rows] = (
            torch.where(value < 0, at, low[rows]),
            torch.where(value < 0, high[rows], at),
        )
        below, above = low[rows], high[rows]
        newton = -value / slope
        inside = (at + newton >= below) & (at + newton <= above)
        inside = inside & (newton.abs() <= 0.5 * size[rows])
        move = torch.where(inside, newton, (below + above) / 2 - at)
        y[rows], size[rows] = at + move, torch.where(inside, move.abs(), above - below)
        smallest = torch.minimum(move.abs(), above - below)
        # The error after a Newton step is about its square.
        exact = newton.abs() <= _LAST_STEP * torch.exp(widths).min(dim=1).values
        exact = inside & (exact | (value.abs() <= _TOLERANCE * (1 + goal.abs())))
        rows = rows[(smallest > tolerance[rows]) & ~exact]
    return y


def _log_cumulative(
    log_weights: torch.Tensor, means: torch.Tensor, log_deviations: torch.Tensor, x: torch.Tensor
) -> torch.Tensor:
    e = (x[:, None] - means) * torch.exp(-log_deviations)
    return torch.logsumexp(log_weights + torch.special.log_ndtr(e), dim=1)


def _log_density(
    log_weights: torch.Tensor, means: torch.Tensor, log_deviations: torch.Tensor, x: torch.Tensor
) -> torch.Tensor:
    each = log_normal_density(x[:, None], means, log_deviations)
    return torch.logsumexp(log_weights + each, dim=1)
