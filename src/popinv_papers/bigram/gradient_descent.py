r"""Gradient descent on the linear bigram model: exact losses and their limits.

.. math::
    L(W) - L^* = \tfrac12 \sum_{ij} \pi_i (W_{ij} - \pi_{j|i})^2, \qquad W_0 = 0,

and with the step 1/pi_1 the relative loss r(t) = (L(t) - L*) / (L(0) - L*) is

.. math::
    r(t) = \frac{\sum_i \pi_i q_i (1 - \pi_i/\pi_1)^{2t}}{\sum_i \pi_i q_i}, \qquad
    q_i = \sum_j \pi_{j|i}^2,

which under Zipf's law with exponent a is sum_k k^-a (1 - k^-a)^{2t} / H_{d,a}. The scalings and
the constant for a > 1 are from Theorem 3.1 of Kunstner and Bach (arXiv 2505.19227). Their
formulas were not readable to us and are derived anew.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.special import beta, expn, gamma, gammaincc, zeta

from popinv.errors import ConfigError
from popinv_papers.bigram.power_law import check_power_law, powers

# Beyond this 2t every term but the last ones is zero in double precision.
_MOST_STEPS = 2**62


def relative_loss_of(marginals: np.ndarray, squares: np.ndarray, steps: float) -> float:
    """Return r(t), t >= 0, for any frequencies pi_i and sums q_i of squares, both (d,)."""
    weight = marginals * squares
    with np.errstate(divide="ignore"):
        decay = np.log1p(-marginals / marginals.max())
    # At the largest frequency the logarithm is -inf: the term is 1 at first, then zero.
    factor = np.exp(2 * steps * decay) if steps > 0 else 1.0
    return float((weight * factor).sum() / weight.sum())


def relative_loss(size: int, exponent: float, steps: float) -> float:
    """Return r(t) under Zipf's law, in O(d)."""
    check_power_law(size, exponent)
    if steps <= 0:
        return 1.0
    terms = powers(size, exponent)
    rest = terms[1:]
    return float((rest * np.exp(2 * steps * np.log1p(-rest))).sum() / terms.sum())


def horizon(size: int, exponent: float, tau: float) -> float:
    """Return t at a scaled time: tau d^a / 2 for a < 1, d^tau / 2 for a = 1, tau for a > 1."""
    if exponent < 1:
        return tau * size**exponent / 2
    return size**tau / 2 if exponent == 1 else tau


def limit(exponent: float, tau: np.ndarray | float) -> np.ndarray:
    r"""Return the limit of r as d grows, at a scaled time.

    - a < 1: ((1-a)/a) E_{1/a}(tau), E_p the generalised exponential integral;
    - a = 1: 1 - tau for tau in [0, 1], approached as 1/log(d) only;
    - a > 1: B(1 - 1/a, 1 + 2 tau) / (a zeta(a)), where an integral replaces the sum over k, with a
      relative error of order t^{-1/a}.
    """
    tau = np.asarray(tau, dtype=float)
    if exponent < 1:
        return (1 - exponent) / exponent * _exponential_integral(1 / exponent, tau)
    if exponent == 1:
        return np.clip(1 - tau, 0, 1)
    return beta(1 - 1 / exponent, 1 + 2 * tau) / (exponent * zeta(exponent))


def _exponential_integral(order: float, x: np.ndarray) -> np.ndarray:
    """Return E_p(x) for p > 1, x >= 0; scipy has it for whole p only."""
    if order == int(order):
        return expn(int(order), x)
    # E_p(x) = x^{p-1} Gamma(1-p, x). The incomplete gamma function at a negative argument follows
    # from that at an argument in (0, 1) by a downward recurrence in p:
    # E_{p+1}(x) = (e^{-x} - x E_p(x)) / p.
    fraction = order - int(order)
    with np.errstate(divide="ignore", invalid="ignore"):
        # p = fraction lies in (0, 1): E_p(x) = x^{p-1} Gamma(1-p, x).
        value = x ** (fraction - 1) * gamma(1 - fraction) * gammaincc(1 - fraction, x)
        p = fraction
        while p < order - 0.5:
            value = (np.exp(-x) - np.where(x > 0, x * value, 0.0)) / p
            p += 1
    return np.where(x > 0, value, 1 / (order - 1))


def steps_to(size: int, exponent: float, target: float) -> int:
    """Return the fewest steps with r(t) <= target."""
    check_power_law(size, exponent)
    return first_step_below(lambda t: relative_loss(size, exponent, t), target)


def first_step_below(loss: Callable[[int], float], target: float) -> int:
    """Return the first whole t >= 0 with loss(t) <= target, for a loss that never grows.

    Raises
    ------
    ConfigError
        If the target does not lie in (0, 1], or the loss stays above it.
    """
    if not 0 < target <= 1:
        raise ConfigError(f"the target is {target}, must lie in (0, 1]")
    if loss(0) <= target:
        return 0
    high = 1
    while loss(high) > target:
        high *= 2
        if high > _MOST_STEPS:
            raise ConfigError(f"the relative loss stays above {target}")
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if loss(middle) > target else (low, middle)
    return high
