r"""From Rényi divergences to (epsilon, delta), in closed form.

A guarantee epsilon(a) on the divergence of each order a > 1 gives (epsilon, delta) with

.. math:: \epsilon = \min_a \epsilon(a) + \frac{\log(1/\delta)}{a - 1}

(Proposition N.2). Where epsilon(a) = A a the minimum is known, and so it is where two such
guarantees are joined by the weak triangle inequality (Theorem 3.2): with u = a - 1,

.. math:: \frac{a - 1/2}{a - 1} 2 A a + \frac{\ell}{a - 1} = 2 A u + 3 A + \frac{A + \ell}{u}.

The closed forms are derived here; the paper minimises numerically.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from scipy.optimize import minimize_scalar

from popinv.errors import ConfigError

__all__ = [
    "best_order",
    "coefficient",
    "epsilon",
    "epsilon_joined",
    "joined_coefficient",
    "least_epsilon",
]


def _logarithm(delta: float) -> float:
    if not 0 < delta < 1:
        raise ConfigError(f"delta is {delta:g}, must lie between 0 and 1")
    return math.log(1 / delta)


def best_order(a: float, delta: float) -> float:
    """Return 1 + sqrt(log(1/delta)/A), the order at which A a gives the least epsilon."""
    return 1 + math.sqrt(_logarithm(delta) / a) if a > 0 else math.inf


def epsilon(a: float, delta: float) -> float:
    """Return A + 2 sqrt(A log(1/delta)), from divergences of at most A times the order."""
    return a + 2 * math.sqrt(a * _logarithm(delta))


def coefficient(epsilon: float, delta: float) -> float:
    """Return the A that gives an epsilon: (sqrt(epsilon + l) - sqrt(l))^2, l = log(1/delta)."""
    _check(epsilon)
    ell = _logarithm(delta)
    # As a quotient, since the difference loses digits where epsilon is small.
    return (epsilon / (math.sqrt(epsilon + ell) + math.sqrt(ell))) ** 2


def epsilon_joined(a: float, delta: float) -> float:
    """Return 3 A + 2 sqrt(2 A (A + log(1/delta))), of two guarantees with the sum A of theirs."""
    return 3 * a + 2 * math.sqrt(2 * a * (a + _logarithm(delta)))


def joined_coefficient(epsilon: float, delta: float) -> float:
    """Return the sum A that gives an epsilon when two guarantees are joined.

    The smaller root of A^2 - (6 epsilon + 8 l) A + epsilon^2 = 0.
    """
    _check(epsilon)
    half = 3 * epsilon + 4 * _logarithm(delta)
    return epsilon**2 / (half + math.sqrt(half**2 - epsilon**2))


def least_epsilon(
    divergence: Callable[[float], float], delta: float, highest: float = 1e7
) -> float:
    """Return the least epsilon of any guarantee, numerically over orders from 1 to ``highest``.

    Parameters
    ----------
    divergence : callable
        Order to the bound on the divergence of that order; may be infinite.
    """
    ell = _logarithm(delta)

    def at(log_u: float) -> float:
        u = math.exp(log_u)
        return divergence(1 + u) + ell / u

    found = minimize_scalar(
        at, bounds=(-7.0, math.log(highest)), method="bounded", options={"xatol": 1e-7}
    )
    return float(found.fun)


def _check(epsilon: float) -> None:
    if not 0 < epsilon < math.inf:
        raise ConfigError(f"epsilon is {epsilon:g}, must be positive and finite")
