r"""Escape and exit at a finite learning rate, by characteristic functions and integral equations.

Near a quadratic maximum the descent is the linear recursion

    X_{n+1} = (1 + epsilon kappa) X_n + epsilon xi_{n+1},

of which (1 + epsilon kappa)^{-n} X_n converges to x_0 + epsilon Z with

    Z = sum_{k >= 1} (1 + epsilon kappa)^{-k} xi_k.

A path leaves upwards if x_0 + epsilon Z > 0. With phi the characteristic function of xi, Z has the
product of phi(t (1 + epsilon kappa)^{-k}), and Gil-Pelaez' integral gives P(-Z < z). Nothing is
assumed about epsilon here. Its limit is the stable law of
:func:`popinv_papers.sgd_dynamics.theory.escape_probability_heavy`. The distance from the limit
follows from the expansion of log phi for Pareto noise of scale s,

    log phi(t) = -(s t)^alpha / C_alpha + alpha/(2 (2 - alpha)) (s t)^2 + ...

The second term gives :func:`finite_rate_term`, of the order epsilon^{2/alpha - 1}. This power
vanishes as alpha approaches 2, so that no learning rate in use is small there.

With m(x) = x - epsilon f'(x) and the density q of epsilon xi, the mean number of steps T until the
recursion leaves (low, high) solves

    T(x) = 1 + int T(y) q(y - m(x)) dy,

with the integral over (low, high). The solution is linear between nodes, which are dense near the
ends. The integrals of the density times a linear function are exact, by the distribution function
of the noise and its integral. Nothing is simulated, and no learning rate is assumed to be small.
The error comes from the interpolation, of second order in the distance of the nodes. Where the
noise is much narrower than that distance, the interpolation adds to it; take finer nodes.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.integrate import cumulative_simpson
from scipy.special import gamma, gammaln, kv, ndtr
from scipy.stats import t as student

from popinv.errors import ConfigError
from popinv_papers.sgd_dynamics.simulation import GradientNoise, Landscape
from popinv_papers.sgd_dynamics.theory import stable_constant

# Steps of the logarithm of t in the integrals, and their range about 1 in units of the width.
_STEP = 0.01
_LOWEST, _HIGHEST = -34.0, 5.0
# The series of Pareto noise loses digits as exp(t); at this t the error is about 1e-9.
_LARGEST = 16.0
_TERMS = 90
# A characteristic function of zero, for its logarithm.
_NOTHING = 1e-300


def characteristic(noise: GradientNoise, t: np.ndarray) -> np.ndarray:
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


def escape_probability(
    start: float, rate: float, noise: GradientNoise, curvature: float = 1.0
) -> float:
    """Return the probability that the linear recursion from ``start`` leaves upwards.

    ``start`` is x_0, relative to the maximum, ``rate`` the learning rate epsilon, and ``curvature``
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


def finite_rate_term(rate: float, alpha: float) -> float:
    r"""Return the first finite-rate term of the exponent for symmetric Pareto noise.

    With f'' = -1 at the maximum and u = t w, w the width of the stable limit, the logarithm of the
    characteristic function of epsilon Z is -\|u\|^alpha + c u^2 + ...; this is

        c = alpha/(4 (2 - alpha)) epsilon^{2/alpha - 1} (alpha C_alpha)^{2/alpha}.

    The limit may be used where c is small.
    """
    power = (alpha * stable_constant(alpha)) ** (2 / alpha)
    return alpha / (4 * (2 - alpha)) * rate ** (2 / alpha - 1) * power


# Nodes of an end at infinity reach so far; beyond, the solution is taken as constant.
_FAR = 100.0


def distribution(noise: GradientNoise, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return F(x) = P(xi <= x), and its integral E max(x - xi, 0), shapes of x.

    Raises
    ------
    ConfigError
        For stable noise, which has no closed form.
    """
    if noise.kind == "stable":
        raise ConfigError("stable noise has no distribution function in closed form; simulate it")
    z = (np.asarray(x, dtype=float) + noise.shift) / noise.scale
    if noise.kind == "gaussian":
        below = ndtr(z)
        area = z * below + np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    elif noise.kind == "laplace":
        decay = np.exp(-np.abs(z)) / 2
        below = np.where(z < 0, decay, 1 - decay)
        area = np.maximum(z, 0) + decay
    elif noise.kind == "student":
        law = student(noise.index)
        below = law.cdf(z)
        area = z * below + law.pdf(z) * (noise.index + z**2) / (noise.index - 1)
    else:
        share, far = 1 - noise.balance, np.maximum(np.abs(z), 1)
        tail, beyond = far**-noise.index, far ** (1 - noise.index) / (noise.index - 1)
        at_one = 1 / (noise.index - 1)
        below = np.where(z < -1, share * tail, np.where(z < 1, share, 1 - noise.balance * tail))
        middle = share * at_one + share * (np.clip(z, -1, 1) + 1)
        above = np.maximum(z - 1, 0) - noise.balance * (at_one - beyond)
        area = np.where(z < -1, share * beyond, middle + np.where(z > 1, above, 0.0))
    return below, noise.scale * area


def mean_exit_steps(
    landscape: Landscape,
    noise: GradientNoise,
    rate: float,
    start: float,
    within: tuple[float, float],
    spacing: float = 0.02,
) -> float:
    """Return the mean number of steps from ``start`` until the path leaves an interval.

    One end of the interval may be infinite. ``spacing`` is the largest distance of nodes near the
    landscape's breaks and critical points, ``rate`` the learning rate epsilon.
    """
    nodes, matrix = _operator(landscape, noise, rate, within, spacing)
    solution = np.linalg.solve(np.eye(len(nodes)) - matrix, np.ones(len(nodes)))
    return float(np.interp(start, nodes, solution))


def _nodes(low: float, high: float, finest: float, spacing: float) -> np.ndarray:
    """Return nodes from low to high that are dense at finite ends and sparse far out."""
    inner = max(low, -3.0), min(high, 3.0)

    def graded(length: float) -> np.ndarray:
        # Distances grow by 5 % from the end on.
        steps = np.minimum(finest * 1.05 ** np.arange(10_000), spacing)
        reach = np.cumsum(steps)
        return reach[reach < length]

    length = inner[1] - inner[0]
    parts = [np.array(inner)]
    if np.isfinite(low) and np.isfinite(high):
        parts += [inner[0] + graded(length / 2), inner[1] - graded(length / 2)]
    elif np.isfinite(low):
        parts += [inner[0] + graded(length)]
    else:
        parts += [inner[1] - graded(length)]
    count = math.ceil(math.log(_FAR / 3) / 0.05)
    outside = 3 * np.exp(np.linspace(0, math.log(_FAR / 3), count))
    if not np.isfinite(low):
        parts.append(-outside)
    if not np.isfinite(high):
        parts.append(outside)
    return np.unique(np.concatenate(parts))


def _operator(
    landscape: Landscape,
    noise: GradientNoise,
    rate: float,
    within: tuple[float, float],
    spacing: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Return nodes (n,), and weights (n, n) of the values at the nodes."""
    low, high = within
    if not low < high or (np.isinf(low) and np.isinf(high)):
        raise ConfigError(f"the interval {within} must ascend and have a finite end")
    nodes = _nodes(low, high, min(spacing, rate * noise.scale / 4), spacing)
    mean = nodes - rate * landscape.slope(nodes)
    below, area = distribution(noise, (nodes[None, :] - mean[:, None]) / rate)
    area = rate * area
    # int over [a, b] of (b - y)/(b - a) q(y - m) dy, and of the rest.
    left = np.diff(area, axis=1) / np.diff(nodes) - below[:, :-1]
    right = np.diff(below, axis=1) - left
    matrix = np.zeros((len(nodes), len(nodes)))
    matrix[:, :-1] += left
    matrix[:, 1:] += right
    if np.isinf(high):
        matrix[:, -1] += 1 - below[:, -1]
    if np.isinf(low):
        matrix[:, 0] += below[:, 0]
    return nodes, matrix
