r"""Mean exit times and exit probabilities at a finite learning rate, by integral equations.

With m(x) = x - epsilon f'(x) and the density q of epsilon xi, the mean number of steps T until the
recursion leaves (low, high), and the probability h that it leaves upwards, solve

    T(x) = 1 + int T(y) q(y - m(x)) dy,
    h(x) = P(m(x) + epsilon xi >= high) + int h(y) q(y - m(x)) dy,

with integrals over (low, high). The solution is linear between nodes, which are dense near the
ends. The integrals of the density times a linear function are exact, by the distribution function
of the noise and its integral. Nothing is simulated, and no learning rate is assumed to be small.
The error is that of the interpolation, of second order in the distance of the nodes. Where the
noise is much narrower than that distance, the interpolation adds to it; take finer nodes.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.special import ndtr
from scipy.stats import t as student

from popinv.errors import ConfigError
from popinv_papers.sgd_dynamics.landscapes import Landscape
from popinv_papers.sgd_dynamics.noises import Noise

# Nodes of an end at infinity reach so far; beyond, the solution is taken as constant.
_FAR = 100.0


def distribution(noise: Noise, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
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
    noise: Noise,
    rate: float,
    start: float,
    within: tuple[float, float],
    spacing: float = 0.02,
) -> float:
    """Return the mean number of steps from ``start`` until the path leaves an interval.

    Parameters
    ----------
    landscape : Landscape
    noise : Noise
    rate : float
        The learning rate epsilon.
    start : float
    within : (float, float)
        The interval; one end may be infinite.
    spacing : float
        Largest distance of nodes near the landscape's breaks and critical points.
    """
    nodes, matrix, _ = _operator(landscape, noise, rate, within, spacing)
    solution = np.linalg.solve(np.eye(len(nodes)) - matrix, np.ones(len(nodes)))
    return float(np.interp(start, nodes, solution))


def exit_probability(
    landscape: Landscape,
    noise: Noise,
    rate: float,
    start: float,
    within: tuple[float, float],
    spacing: float = 0.02,
) -> float:
    """Return the probability that the path leaves an interval upwards; see `mean_exit_steps`."""
    if not np.isfinite(within).all():
        raise ConfigError(f"the interval {within} must be finite: a path leaves on either side")
    nodes, matrix, beyond = _operator(landscape, noise, rate, within, spacing)
    solution = np.linalg.solve(np.eye(len(nodes)) - matrix, beyond)
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
    noise: Noise,
    rate: float,
    within: tuple[float, float],
    spacing: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return nodes (n,), weights (n, n) of the values at the nodes, P(beyond high) (n,)."""
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
    beyond = 1 - below[:, -1]
    if np.isinf(high):
        matrix[:, -1] += beyond
    if np.isinf(low):
        matrix[:, 0] += below[:, 0]
    return nodes, matrix, beyond
