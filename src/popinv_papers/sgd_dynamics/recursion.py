r"""Escape from a quadratic maximum at a finite learning rate, by characteristic functions.

Near a quadratic maximum the descent is the linear recursion

    X_{n+1} = (1 + epsilon kappa) X_n + epsilon xi_{n+1},

of which (1 + epsilon kappa)^{-n} X_n converges to x_0 + epsilon Z with

    Z = sum_{k >= 1} (1 + epsilon kappa)^{-k} xi_k.

A path leaves upwards if x_0 + epsilon Z > 0. With phi the characteristic function of xi, that of Z
is the product of phi(t (1 + epsilon kappa)^{-k}), and Gil-Pelaez' integral gives P(-Z < z). Nothing
is assumed about epsilon here. Its limit is the stable law of
:func:`popinv_papers.sgd_dynamics.theory.escape_probability_heavy`. The distance from the limit
follows from the expansion of log phi for Pareto noise of scale s,

    log phi(t) = -(s t)^alpha / C_alpha + alpha/(2 (2 - alpha)) (s t)^2 + ...

The second term gives :func:`finite_rate_term`, of the order epsilon^{2/alpha - 1}. This power
vanishes as alpha approaches 2, so that no learning rate in use is small there.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.integrate import cumulative_simpson
from scipy.special import gamma, gammaln, kv

from popinv.errors import ConfigError
from popinv_papers.sgd_dynamics.noises import Noise
from popinv_papers.sgd_dynamics.theory import stable_constant

# Steps of the logarithm of t in the integrals, and their range about 1 in units of the width.
_STEP = 0.01
_LOWEST, _HIGHEST = -34.0, 5.0
# The series of Pareto noise loses digits as exp(t); at this t the error is about 1e-9.
_LARGEST = 16.0
_TERMS = 90
# A characteristic function of zero, for its logarithm.
_NOTHING = 1e-300


def characteristic(noise: Noise, t: np.ndarray) -> np.ndarray:
    """Return E exp(i t xi) at positive t, complex, shape of t.

    Raises
    ------
    ConfigError
        For Pareto noise of an integer index, where the series has a logarithm.
    """
    u = noise.scale * np.asarray(t, dtype=float)
    if noise.kind == "gaussian":
        return np.exp(-(u**2) / 2).astype(complex)
    if noise.kind == "laplace":
        return (1 / (1 + u**2)).astype(complex)
    if noise.kind == "stable":
        return np.exp(-(u**noise.index)).astype(complex)
    if noise.kind == "student":
        half, root = noise.index / 2, u * math.sqrt(noise.index)
        small = root < 1e-8
        safe = np.where(small, 1.0, root)
        value = kv(half, safe) * safe**half * math.exp((1 - half) * math.log(2) - gammaln(half))
        return np.where(small, 1.0, value).astype(complex)
    up = _pareto_tail(u, noise.index)
    centred = np.exp(-1j * t * noise.shift)
    return (noise.balance * up + (1 - noise.balance) * up.conj()) * centred


def _pareto_tail(u: np.ndarray, alpha: float) -> np.ndarray:
    """Return E exp(i u X) for P(X > x) = x^-alpha, x >= 1.

    It is alpha Gamma(-alpha) (-i u)^alpha - alpha sum_n (i u)^n / (n! (n - alpha)). Beyond u = 16
    its size is below 0.2, and it is cut to zero: no integral here reaches so far.
    """
    if float(alpha).is_integer():
        raise ConfigError(
            f"the tail index {alpha} of Pareto noise is an integer, where its characteristic "
            "function has another form; take an index nearby"
        )
    inside = np.minimum(u, _LARGEST)
    value = alpha * gamma(-alpha) * inside**alpha * np.exp(-0.5j * np.pi * alpha)
    term = np.ones_like(inside, dtype=complex)
    for n in range(_TERMS):
        value = value - alpha * term / (n - alpha)
        term = term * (1j * inside) / (n + 1)
    return np.where(u < _LARGEST, value, 0.0)


def escape_probability(start: float, rate: float, noise: Noise, curvature: float = 1.0) -> float:
    """Return the probability that the linear recursion from ``start`` leaves upwards.

    Parameters
    ----------
    start : float
        x_0, relative to the maximum.
    rate : float
        The learning rate epsilon.
    noise : Noise
    curvature : float
        kappa = -f'' at the maximum.
    """
    if not (rate > 0 and curvature > 0):
        raise ConfigError(f"the rate {rate} and the curvature {curvature} must be positive")
    growth = math.log1p(rate * curvature)
    # If the factor is a large one, t / (1 + epsilon kappa) is another node of the grid.
    fine = math.ceil(growth / _STEP) if growth > _STEP else 1
    step = growth / fine if growth > _STEP else _STEP
    width = noise.scale * rate ** (1 - 1 / noise.a)
    count = round((_HIGHEST - _LOWEST) / step)
    t = np.exp(_LOWEST + step * np.arange(count)) / width
    phi = characteristic(noise, rate * t)
    logarithm = np.log(np.where(phi == 0, _NOTHING, phi))
    if growth > _STEP:
        strides = np.pad(logarithm, (0, -count % fine)).reshape(-1, fine)
        sums = (np.cumsum(strides, axis=0) - strides).ravel()[:count]
    else:
        sums = _sums_of_small_factors(logarithm, step, growth)
    psi = np.exp(sums)
    # P(-epsilon Z < x) by Gil-Pelaez; the characteristic function of -epsilon Z is conj(psi).
    integrand = (np.exp(-1j * t * start) * psi.conj()).imag
    return float(np.clip(0.5 - step * integrand.sum() / math.pi, 0.0, 1.0))


def _sums_of_small_factors(values: np.ndarray, step: float, growth: float) -> np.ndarray:
    """Return sum_{k >= 1} of values at log t - k growth, by the formula of Euler and Maclaurin."""
    integral = cumulative_simpson(values.real, dx=step, initial=0) + 1j * cumulative_simpson(
        values.imag, dx=step, initial=0
    )
    slope = np.gradient(values, step)
    return integral / growth - values / 2 + growth * slope / 12


def finite_rate_term(rate: float, alpha: float, curvature: float = 1.0) -> float:
    r"""Return the first finite-rate term of the exponent for symmetric Pareto noise.

    With u = t w, w the width of the stable limit, the logarithm of the characteristic function of
    epsilon Z is -\|u\|^alpha + c u^2 + ...; this is

        c = alpha/(4 (2 - alpha)) (epsilon kappa)^{2/alpha - 1} (alpha C_alpha)^{2/alpha}.

    The limit may be used where c is small.
    """
    power = (alpha * stable_constant(alpha)) ** (2 / alpha)
    return alpha / (4 * (2 - alpha)) * (rate * curvature) ** (2 / alpha - 1) * power
