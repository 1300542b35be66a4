"""Paths of stochastic gradient descent in one dimension: slopes, laws of the noise, simulation.

A landscape is defined by a piecewise polynomial slope f'. Beyond the outermost break it is at most
linear. Otherwise steps of heavy-tailed size would diverge: a cubic slope at x has the size x^3.

The gradient noise xi has mean zero; all but Pareto noise are symmetric.

A path is computed in compiled code and ends when it has left an interval, so finished paths cost
nothing. Path i draws from the generator of (seed, stage, i), so it does not depend on the others.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from popinv.errors import ConfigError, require_known
from popinv.seeds import generators
from popinv.store.compiled import njit


@njit
def evaluate_slope(x: float, breaks: np.ndarray, coefficients: np.ndarray) -> float:
    """Return the value of the piece at x, by Horner's rule; a break belongs to the right piece."""
    piece = 0
    while piece < len(breaks) and x >= breaks[piece]:
        piece += 1
    value = 0.0
    for power in range(coefficients.shape[1] - 1, -1, -1):
        value = value * x + coefficients[piece, power]
    return value


@dataclass(frozen=True)
class Landscape:
    """A slope f'.

    Attributes
    ----------
    breaks : ndarray of shape (k,)
        Ascending points between pieces. A point on a break belongs to the piece on its right.
    coefficients : ndarray of shape (k + 1, degree + 1)
        Coefficients of each piece, from the constant up, in powers of x itself.
    """

    breaks: np.ndarray
    coefficients: np.ndarray

    def slope(self, x: np.ndarray) -> np.ndarray:
        """Return f'(x), shape of x."""
        pieces = np.searchsorted(self.breaks, x, side="right")
        powers = np.asarray(x)[..., None] ** np.arange(self.coefficients.shape[1])
        return (self.coefficients[pieces] * powers).sum(axis=-1)

    def steepness(self, low: float, high: float) -> float:
        """Return the largest abs(f'') in an interval, on a grid of 10,001 points."""
        powers = np.arange(1, self.coefficients.shape[1])
        second = Landscape(self.breaks, self.coefficients[:, 1:] * powers)
        return float(np.abs(second.slope(np.linspace(low, high, 10_001))).max())


def piecewise(breaks: Sequence[float], coefficients: Sequence[Sequence[float]]) -> Landscape:
    """Return any piecewise polynomial slope.

    Coefficients of each piece are from the constant up; shorter ones are filled with zeros.

    Raises
    ------
    ConfigError
        If the breaks do not ascend, the numbers of pieces do not fit, or an outer piece has a
        degree above 1.
    """
    if len(coefficients) != len(breaks) + 1:
        raise ConfigError(
            f"{len(breaks)} breaks divide the line into {len(breaks) + 1} pieces, but there are "
            f"coefficients for {len(coefficients)}"
        )
    if np.any(np.diff(breaks) <= 0):
        raise ConfigError(f"the breaks must ascend, got {list(breaks)}")
    table = np.zeros((len(coefficients), max(map(len, coefficients))))
    for row, values in zip(table, coefficients, strict=True):
        row[: len(values)] = values
    if np.any(table[[0, -1], 2:]):
        raise ConfigError(
            "the outermost pieces must be linear: steeper ones diverge under large steps"
        )
    return Landscape(np.array(breaks, dtype=float), table)


def double_well(edge: float = 1.5) -> Landscape:
    """F' = x^3 - x, continued linearly beyond the edge: minima at -1 and 1, a maximum at 0."""
    return _continued(edge, [0, -1, 0, 1], edge**3 - edge, 3 * edge**2 - 1)


def quartic_maximum(edge: float = 1.3) -> Landscape:
    """F' = x^5 - x^3, continued linearly: minima at -1 and 1, a quartic maximum at 0."""
    return _continued(edge, [0, 0, 0, -1, 0, 1], edge**5 - edge**3, 5 * edge**4 - 3 * edge**2)


def _continued(edge: float, inner: Sequence[float], value: float, steep: float) -> Landscape:
    """Continue an odd polynomial linearly, by its value and its derivative at the edge."""
    low, high = [-value + steep * edge, steep], [value - steep * edge, steep]
    return piecewise([-edge, edge], [low, inner, high])


def sharp_maximum(left: float, right: float) -> Landscape:
    """F' = a_- > 0 for x < 0 and -a_+ < 0 for x >= 0: the drift leads away from 0 on both sides."""
    if not (left > 0 and right > 0):
        raise ConfigError(f"the slopes {left} and {right} of a sharp maximum must be positive")
    return piecewise([0.0], [[left], [-right]])


KINDS = ("gaussian", "laplace", "student", "pareto", "stable")


@njit
def draw(
    generator: np.random.Generator, kind: int, scale: float, index: float, balance: float
) -> float:
    """Draw one xi; ``kind`` is the index in ``KINDS``."""
    if kind == 0:
        return scale * generator.standard_normal()
    if kind == 1:
        size = scale * generator.standard_exponential()
        return size if generator.random() < 0.5 else -size
    if kind == 2:
        chi = 2.0 * generator.standard_gamma(index / 2.0)
        return scale * generator.standard_normal() / np.sqrt(chi / index)
    if kind == 3:
        size = scale * (1.0 - generator.random()) ** (-1.0 / index)
        mean = (2.0 * balance - 1.0) * scale * index / (index - 1.0)
        return (size if generator.random() < balance else -size) - mean
    # The formula of Chambers, Mallows and Stuck for a symmetric stable law.
    angle = np.pi * (generator.random() - 0.5)
    clock = generator.standard_exponential()
    return (
        scale
        * np.sin(index * angle)
        / np.cos(angle) ** (1.0 / index)
        * (np.cos(angle - index * angle) / clock) ** ((1.0 - index) / index)
    )


@dataclass(frozen=True)
class GradientNoise:
    r"""A law of xi.

    Attributes
    ----------
    kind : str
        One of ``KINDS``.
    scale : float
        Standard deviation (gaussian), mean size (laplace: density exp(-\\|x\\|/s)/(2s)), factor
        (student), smallest size (pareto: P(\\|xi\\| > x) = (x/s)^-index), or scale of the
        characteristic exponent (stable: exp(-\\|s t\\|^index)).
    index : float
        Degrees of freedom (student), tail index (pareto, stable); infinite otherwise.
    balance : float
        p_+, the share of the upper tail (pareto); 1/2 for a symmetric law. An unbalanced law is
        shifted to mean zero: P(xi + mean > x) = p_+ (x/s)^-index.

    Raises
    ------
    ConfigError
        For an unknown kind, a scale that is not positive, a tail index of at most 1 (no mean) or,
        for a stable law, of 2 and more, or a balance outside [0, 1] or of another law than Pareto.
    """

    kind: str
    scale: float = 1.0
    index: float = math.inf
    balance: float = 0.5

    def __post_init__(self) -> None:
        kind, scale, index, balance = self.kind, self.scale, self.index, self.balance
        require_known(kind, KINDS, f"noise '{kind}'")
        if not scale > 0:
            raise ConfigError(f"the scale of the noise is {scale}, must be positive")
        if not 0 <= balance <= 1 or (kind != "pareto" and balance != 0.5):
            raise ConfigError(
                f"the balance of {kind} noise is {balance}; pareto noise takes one from 0 to 1, "
                "others are symmetric and have 0.5"
            )
        if not index > 1:
            raise ConfigError(
                f"the index of {kind} noise is {index}, must be above 1: it has no mean"
            )
        if kind == "stable" and not index < 2:
            raise ConfigError(f"the index of stable noise is {index}, must be below 2")

    @property
    def shift(self) -> float:
        """The mean of an unbalanced Pareto law before it is shifted to zero."""
        if self.kind != "pareto":
            return 0.0
        return (2 * self.balance - 1) * self.scale * self.index / (self.index - 1)

    @property
    def a(self) -> float:
        """The order of the noise's spread: min(2, tail index); sums of n grow as n^(1/a)."""
        return float(min(2.0, self.index))

    @property
    def arguments(self) -> tuple[Any, ...]:
        """The arguments of :func:`draw` after the generator."""
        return KINDS.index(self.kind), self.scale, self.index, self.balance


@dataclass(frozen=True)
class Runs:
    """The ends of the paths, of shape (paths,) each.

    ``final`` are their last points and ``steps`` their numbers of steps. ``side`` is 1 if the path
    left upwards, -1 if downwards, 0 if it was still inside at the end.
    """

    final: np.ndarray
    steps: np.ndarray
    side: np.ndarray

    def mean_steps(self, batches: int) -> np.ndarray:
        """Return the mean number of steps of each batch of paths, shape (batches,)."""
        self._check_left()
        return _batches(self.steps, batches)

    def share_up(self, batches: int) -> np.ndarray:
        """Return the share of upward exits of each batch of paths, shape (batches,)."""
        self._check_left()
        return _batches(self.side > 0, batches)

    def _check_left(self) -> None:
        """Raise ValueError if a path has not left, since its time is cut."""
        if not self.side.all():
            raise ValueError(f"{int((self.side == 0).sum())} paths have not left")

    def share_ending(self, low: float, high: float, batches: int) -> np.ndarray:
        """Return the share of the paths of each batch that end within (low, high)."""
        return _batches((self.final > low) & (self.final < high), batches)


def _batches(values: np.ndarray, batches: int) -> np.ndarray:
    """Return the mean of each of several equal batches of consecutive, independent paths."""
    return values[: len(values) // batches * batches].reshape(batches, -1).mean(axis=1)


@njit
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
    noise: GradientNoise,
    rate: float,
    start: float,
    steps: int,
    paths: int,
    seed: int,
    stage: str,
    within: tuple[float, float] = (-np.inf, np.inf),
) -> Runs:
    """Follow paths of X_{n+1} = X_n - epsilon f'(X_n) + epsilon xi_{n+1} from X_0.

    A path ends if it reaches or passes an end of ``within``, or after ``steps`` steps. Its draws
    have the address (seed, stage).

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
    for i, rng in enumerate(generators(seed, stage, range(paths))):
        final[i], taken[i], side[i] = _path(
            rng, float(start), *fixed, *of_landscape, *noise.arguments
        )
    return Runs(final, taken, side)
