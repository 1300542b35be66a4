r"""Guarantees of privacy: Rényi divergences as (epsilon, delta), and clipped contributions.

A guarantee epsilon(a) on the divergence of each order a > 1 gives (epsilon, delta) with

.. math:: \epsilon = \min_a \epsilon(a) + \frac{\log(1/\delta)}{a - 1}

(Proposition N.2). For epsilon(a) = A a the minimum is known in closed form, which is derived here;
the paper minimises numerically.
"""

from __future__ import annotations

import math

import numpy as np

from popinv.errors import ConfigError


def _logarithm(delta: float) -> float:
    if not 0 < delta < 1:
        raise ConfigError(f"delta is {delta:g}, must lie between 0 and 1")
    return math.log(1 / delta)


def epsilon(a: float, delta: float) -> float:
    """Return A + 2 sqrt(A log(1/delta)), for divergences of at most A times the order."""
    return a + 2 * math.sqrt(a * _logarithm(delta))


def coefficient(epsilon: float, delta: float) -> float:
    """Return the A for an epsilon: (sqrt(epsilon + l) - sqrt(l))^2, l = log(1/delta)."""
    _check(epsilon)
    ell = _logarithm(delta)
    # The quotient replaces the difference, which loses digits if epsilon is small.
    return (epsilon / (math.sqrt(epsilon + ell) + math.sqrt(ell))) ** 2


def _check(epsilon: float) -> None:
    if not 0 < epsilon < math.inf:
        raise ConfigError(f"epsilon is {epsilon:g}, must be positive and finite")


def clipped(each: np.ndarray, longest: float) -> np.ndarray:
    """Return contributions (N, k), shortened to a length."""
    length = np.linalg.norm(each, axis=1, keepdims=True)
    return each * np.minimum(1.0, longest / np.maximum(length, 1e-300))
