"""Simulation of many paths of stochastic gradient descent until they leave an interval.

A path is computed in compiled code and ends when it has left, so finished paths cost nothing. Path
i draws from the generator of (seed, stage, i), so it does not depend on the other paths.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np

from popinv.errors import ConfigError
from popinv.seeds import generator
from popinv_papers.sgd_dynamics.landscapes import Landscape, evaluate_slope
from popinv_papers.sgd_dynamics.noises import KINDS, Noise, draw


@dataclass(frozen=True)
class Runs:
    """The ends of the paths.

    Attributes
    ----------
    final : ndarray of shape (paths,)
        Last point of each path.
    steps : ndarray of int, shape (paths,)
        Number of steps of each path.
    side : ndarray of int, shape (paths,)
        1 if the path left upwards, -1 if downwards, 0 if it was still inside at the end.
    """

    final: np.ndarray
    steps: np.ndarray
    side: np.ndarray

    def mean_steps(self, batches: int) -> np.ndarray:
        """Return the mean number of steps of each batch of paths, shape (batches,).

        Raises
        ------
        ValueError
            If a path has not left, so that the mean would be that of cut paths.
        """
        if not self.side.all():
            raise ValueError(f"{int((self.side == 0).sum())} paths have not left")
        return _batches(self.steps, batches)

    def share_up(self, batches: int) -> np.ndarray:
        """Return the share of upward exits of each batch of paths, shape (batches,).

        Raises
        ------
        ValueError
            If a path has not left.
        """
        if not self.side.all():
            raise ValueError(f"{int((self.side == 0).sum())} paths have not left")
        return _batches(self.side > 0, batches)

    def share_ending(self, low: float, high: float, batches: int) -> np.ndarray:
        """Return the share of the paths of each batch that end within (low, high)."""
        return _batches((self.final > low) & (self.final < high), batches)


def _batches(values: np.ndarray, batches: int) -> np.ndarray:
    """Return the mean of each of several equal batches of consecutive, independent paths."""
    return values[: len(values) // batches * batches].reshape(batches, -1).mean(axis=1)


@numba.njit(cache=True, nogil=True)
def _path(
    generator: np.random.Generator,
    x: float,
    rate: float,
    steps: int,
    low: float,
    high: float,
    breaks: np.ndarray,
    coefficients: np.ndarray,
    kind: int,
    scale: float,
    index: float,
    balance: float,
) -> tuple:
    for n in range(steps):
        if x <= low:
            return x, n, -1
        if x >= high:
            return x, n, 1
        xi = draw(generator, kind, scale, index, balance)
        x += rate * (xi - evaluate_slope(x, breaks, coefficients))
    side = -1 if x <= low else (1 if x >= high else 0)
    return x, steps, side


def simulate(
    landscape: Landscape,
    noise: Noise,
    rate: float,
    start: float,
    steps: int,
    paths: int,
    seed: int,
    stage: str,
    within: tuple[float, float] = (-np.inf, np.inf),
) -> Runs:
    """Follow paths of X_{n+1} = X_n - epsilon f'(X_n) + epsilon xi_{n+1}.

    Parameters
    ----------
    rate : float
        The learning rate epsilon.
    start : float
        X_0.
    steps : int
        Largest number of steps of a path.
    seed, stage : int, str
        Address of the random draws.
    within : (float, float)
        A path ends if it reaches or passes one of these.

    Raises
    ------
    ConfigError
        If the rate or a count is not positive.

    Warns
    -----
    RuntimeWarning
        If epsilon times the largest curvature is at least 1, so that steps overshoot.
    """
    if not (rate > 0 and steps >= 1 and paths >= 1):
        raise ConfigError(
            f"rate {rate}, steps {steps}, paths {paths}: each must be positive, counts at least 1"
        )
    outermost = np.abs(landscape.breaks).max(initial=1.0)
    if rate * landscape.steepness(-outermost, outermost) >= 1:
        warnings.warn(
            f"the learning rate {rate} times the largest curvature is 1 or more: steps overshoot",
            RuntimeWarning,
            stacklevel=2,
        )
    final = np.empty(paths)
    taken, side = np.empty(paths, dtype=np.int64), np.empty(paths, dtype=np.int64)
    fixed = (float(rate), int(steps), float(within[0]), float(within[1]))
    of_landscape = (landscape.breaks, landscape.coefficients)
    of_law: tuple[Any, ...] = (KINDS.index(noise.kind), noise.scale, noise.index, noise.balance)
    for i in range(paths):
        final[i], taken[i], side[i] = _path(
            generator(seed, stage, i),
            float(start),
            *fixed,
            *of_landscape,
            *of_law,
        )
    return Runs(final, taken, side)
