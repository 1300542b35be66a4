r"""Noisy gradient descent on a mean of parabolas, for which all laws are normal and exact.

With n points x_i, losses (theta - x_i)^2 / 2 and gradients divided by n for any removed points,

.. math:: \theta_{t+1} = \theta_t - \frac{\eta}{n} \sum_i (\theta_t - x_i)
    + \sqrt{2 \eta \sigma^2}\, N(0, 1),

so divergences, contraction and losses can be compared with their bounds without sampling.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from popinv_papers.instance_unlearning.renyi import composed_loss, hoelder_orders


@dataclass(frozen=True)
class Normal:
    """A normal law on the line."""

    mean: float
    variance: float


@dataclass(frozen=True)
class Chain:
    """theta -> factor theta + shift + N(0, noise)."""

    factor: float
    shift: float
    noise: float

    @classmethod
    def of(cls, points: np.ndarray, count: int, rate: float, sigma: float) -> Chain:
        """Return the chain on some points, with gradients divided by ``count``."""
        share = len(points) / count
        return cls(1 - rate * share, rate * float(np.sum(points)) / count, 2 * rate * sigma**2)

    def after(self, steps: int, start: Normal) -> Normal:
        """Return the law after some steps."""
        end = self.stationary
        decay = self.factor**steps
        return Normal(
            end.mean + decay * (start.mean - end.mean),
            end.variance + decay**2 * (start.variance - end.variance),
        )

    @property
    def stationary(self) -> Normal:
        """Return the stationary law."""
        return Normal(self.shift / (1 - self.factor), self.noise / (1 - self.factor**2))


def normal_divergence(p: Normal, q: Normal, order: float) -> float:
    """Return D_alpha(p || q), or infinity if the integral diverges."""
    mixed = order * q.variance + (1 - order) * p.variance
    if not mixed > 0:
        return math.inf
    spread = 0.5 * math.log(q.variance / p.variance)
    spread += 0.5 / (order - 1) * math.log(q.variance / mixed)
    return spread + order * (p.mean - q.mean) ** 2 / (2 * mixed)


def replacement_loss(
    gap: float, count: int, steps: int, chain: Chain, rate: float, order: float
) -> float:
    """Return P(x, alpha) for a replaced point: the gradients' difference is constant.

    Parameters
    ----------
    gap : float
        The point minus its replacement.
    count, steps : int
        n and T.
    rate, order : float
        eta and alpha.

    Returns
    -------
    float
        T alpha (eta gap / n)^2 / (2 noise).
    """
    return steps * order * (rate * gap / count) ** 2 / (2 * chain.noise)


def removal_loss(
    point: float,
    count: int,
    steps: int,
    chain: Chain,
    start: Normal,
    rate: float,
    order: float,
    exponent: float | None = None,
) -> float:
    r"""Return P(x, alpha) for a removed point, by Hoelder's inequality.

    The point's gradient theta - x is random. The moments of its step are those of a squared normal
    variable, E exp(c (theta - x)^2) = (1 - 2 c v)^{-1/2} exp(c m^2 / (1 - 2 c v)).

    Parameters
    ----------
    point, count, steps
        x, n and T.
    chain, start : Chain, Normal
        Training on all points.
    rate, order : float
        eta and alpha.
    exponent : float, optional
        p; by default three times the number of steps.

    Returns
    -------
    float
        Infinite if a moment is.
    """
    exponent = 3.0 * steps if exponent is None else exponent
    orders = hoelder_orders(order, exponent, steps)
    moments = np.empty(steps)
    for i in range(steps):
        law = chain.after(steps - 1 - i, start)
        # D_a(step | theta) = a (eta (theta - x) / n)^2 / (2 noise)
        c = exponent * (orders[i] - 1) * orders[i] * (rate / count) ** 2 / (2 * chain.noise)
        left = 1 - 2 * c * law.variance
        if not left > 0:
            return math.inf
        moments[i] = -0.5 * math.log(left) + c * (law.mean - point) ** 2 / left
    return float(composed_loss(moments, order, exponent))


def exact_steps(
    chain: Chain, start: Normal, target: Normal, order: float, epsilon: float, most: int
) -> int:
    """Return the first k with D_alpha(U_k || target) <= epsilon, or ``most`` if there is none."""
    for k in range(most):
        if normal_divergence(chain.after(k, start), target, order) <= epsilon:
            return k
    return most
