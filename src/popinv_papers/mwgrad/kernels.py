r"""The radial kernel K(x, y) = exp(-\|x - y\|^2 / (2 s^2)) between particles."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Kernel:
    """Kernel and gradients between two sets of points.

    Attributes
    ----------
    values : ndarray of shape (n, m)
        K(x_i, y_j).
    gradient : ndarray of shape (n, m, d)
        The gradient in x_i. The gradient in y_j is its negative.
    bandwidth : float
        s.
    """

    values: np.ndarray
    gradient: np.ndarray
    bandwidth: float


def median_bandwidth(x: np.ndarray) -> float:
    r"""Return s with s^2 = median \|x_i - x_j\|^2 / (2 log(n + 1)), with i = j; at least 1e-6."""
    square = _squares(x, x)
    return float(np.sqrt(max(np.median(square) / (2 * np.log(len(x) + 1)), 1e-12)))


def radial_kernel(x: np.ndarray, y: np.ndarray, bandwidth: float) -> Kernel:
    """Return the kernel between points x (n, d) and y (m, d), with a constant bandwidth."""
    values = np.exp(-_squares(x, y) / (2 * bandwidth**2))
    gradient = (y[None] - x[:, None]) * values[..., None] / bandwidth**2
    return Kernel(values, gradient, bandwidth)


def _squares(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    square = (x**2).sum(axis=1)[:, None] + (y**2).sum(axis=1) - 2 * x @ y.T
    return np.maximum(square, 0)
