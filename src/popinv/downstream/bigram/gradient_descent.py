r"""Gradient descent on the linear bigram model: exact losses and their limits.

.. math::
    L(W) - L^* = \tfrac12 \sum_{ij} \pi_i (W_{ij} - \pi_{j|i})^2, \qquad W_0 = 0,

and with the step 1/pi_1 the relative loss r(t) = (L(t) - L*) / (L(0) - L*) is

.. math::
    r(t) = \frac{\sum_i \pi_i q_i (1 - \pi_i/\pi_1)^{2t}}{\sum_i \pi_i q_i}, \qquad
    q_i = \sum_j \pi_{j|i}^2,

which under Zipf's law with the exponent a is sum_k k^-a (1 - k^-a)^{2t} / H_{d,a}. The scalings
and the constant for a > 1 are those of Theorem 3.1 of Kunstner and Bach (arXiv 2505.19227); its
formulas were not readable to us and are derived anew. ``finite_size`` is this package's own.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.special import beta, exp1, expn, gamma, gammaincc, zeta

from popinv.downstream.bigram.power_law import check_power_law, harmonic, powers
from popinv.errors import ConfigError

__all__ = [
    "finite_size",
    "first_step_below",
    "large_time",
    "limit",
    "relative_loss",
    "relative_loss_of",
    "scaled_time",
    "steps_to",
]

# 2t beyond which every term but the last ones is zero in double precision.
_MOST_STEPS = 2**62


def relative_loss_of(marginals: np.ndarray, squares: np.ndarray, steps: float) -> float:
    """Return r(t) for any frequencies.

    Parameters
    ----------
    marginals : ndarray of shape (d,)
        pi_i, in any order.
    squares : ndarray of shape (d,)
        q_i, the sums of the squared conditional frequencies.
    steps : float
        t, at least 0.
    """
    weight = marginals * squares
    with np.errstate(divide="ignore"):
        decay = np.log1p(-marginals / marginals.max())
    # At the largest frequency the logarithm is -inf: zero from the first step on, 1 before it.
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


def scaled_time(size: int, exponent: float, steps: float) -> float:
    """Return tau: 2t = tau d^a for a < 1, 2t = d^tau for a = 1, and t = tau for a > 1."""
    if exponent < 1:
        return 2 * steps / size**exponent
    if exponent == 1:
        return float(np.log(2 * steps) / np.log(size))
    return float(steps)


def limit(exponent: float, tau: np.ndarray | float) -> np.ndarray:
    r"""Return the limit of r as d grows, at a scaled time.

    - a < 1: ((1-a)/a) E_{1/a}(tau), E_p the generalised exponential integral;
    - a = 1: 1 - tau for tau in [0, 1];
    - a > 1: B(1 - 1/a, 1 + 2 tau) / (a zeta(a)), where the sum over k is taken as an integral,
      an error of the relative order t^{-1/a}.
    """
    tau = np.asarray(tau, dtype=float)
    if exponent < 1:
        return (1 - exponent) / exponent * _exponential_integral(1 / exponent, tau)
    if exponent == 1:
        return np.clip(1 - tau, 0, 1)
    return beta(1 - 1 / exponent, 1 + 2 * tau) / (exponent * zeta(exponent))


def _exponential_integral(order: float, x: np.ndarray) -> np.ndarray:
    """Return E_p(x) for p > 1, x >= 0: scipy has it for whole p only."""
    if order == int(order):
        return expn(int(order), x)
    # E_p(x) = x^{p-1} Gamma(1-p, x); the incomplete gamma function of a negative argument follows
    # from one of an argument in (0, 1) by recurrence, downwards in p:
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


def large_time(exponent: float, tau: np.ndarray | float) -> np.ndarray:
    """Return the leading form of the limit for large tau, a different from 1.

    ((1-a)/a) exp(-tau)/tau for a < 1, and C (2 tau)^{-(1 - 1/a)} with
    C = Gamma(1 - 1/a) / (a zeta(a)) for a > 1.
    """
    tau = np.asarray(tau, dtype=float)
    if exponent < 1:
        return (1 - exponent) / exponent * np.exp(-tau) / tau
    if exponent == 1:
        raise ConfigError("the limit at exponent 1 is 1 - tau and ends at tau = 1")
    power = 1 - 1 / exponent
    return gamma(power) / (exponent * zeta(exponent)) * (2 * tau) ** -power


def finite_size(size: int, steps: np.ndarray | float) -> np.ndarray:
    """Return E_1(2t/d) / H_{d,1}: r(t) at a = 1 where d is finite.

    The limit 1 - tau is approached as 1/log(d) only; this is right to a per cent from d = 1000 on.
    """
    return exp1(2 * np.asarray(steps, dtype=float) / size) / harmonic(size, 1.0)


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
