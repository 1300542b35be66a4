"""Landscapes in one dimension, defined by a piecewise polynomial slope f'.

Beyond the outermost break the slope is at most linear. Otherwise steps of heavy-tailed size would
diverge: a cubic slope at x has the size x^3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numba
import numpy as np

from popinv.errors import ConfigError


@numba.njit(cache=True, nogil=True)
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
        grid = np.linspace(low, high, 10_001)
        powers = np.arange(1, self.coefficients.shape[1])
        pieces = np.searchsorted(self.breaks, grid, side="right")
        slopes = self.coefficients[pieces, 1:] * powers * grid[:, None] ** (powers - 1)
        return float(np.abs(slopes.sum(axis=1)).max())


def piecewise(breaks: Sequence[float], coefficients: Sequence[Sequence[float]]) -> Landscape:
    """Return any piecewise polynomial slope.

    Parameters
    ----------
    breaks : sequence of float, length k
    coefficients : sequence of k + 1 sequences
        From the constant up. Shorter ones are filled with zeros.

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
    value, steep = edge**3 - edge, 3 * edge**2 - 1
    return piecewise(
        [-edge, edge],
        [[-value + steep * edge, steep], [0, -1, 0, 1], [value - steep * edge, steep]],
    )


def quartic_maximum(edge: float = 1.3) -> Landscape:
    """F' = x^5 - x^3, continued linearly: minima at -1 and 1, a quartic maximum at 0."""
    value, steep = edge**5 - edge**3, 5 * edge**4 - 3 * edge**2
    return piecewise(
        [-edge, edge],
        [[-value + steep * edge, steep], [0, 0, 0, -1, 0, 1], [value - steep * edge, steep]],
    )


def sharp_maximum(left: float, right: float) -> Landscape:
    """F' = a_- > 0 for x < 0 and -a_+ < 0 for x >= 0: the drift leads away from 0 on both sides.

    Parameters
    ----------
    left, right : float
        a_- and a_+, positive.
    """
    if not (left > 0 and right > 0):
        raise ConfigError(f"the slopes {left} and {right} of a sharp maximum must be positive")
    return piecewise([0.0], [[left], [-right]])
