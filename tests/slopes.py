"""Derivatives by central differences, which tests compare with those of the code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np


def slopes(
    value: Callable[[np.ndarray], Any], p: np.ndarray, step: float | np.ndarray
) -> np.ndarray:
    """Return the derivatives of a value at p, along the last axis; the error is O(step**2)."""
    sizes = np.broadcast_to(step, len(p))
    ends = [(value(p + s), value(p - s)) for s in np.diag(sizes)]
    return np.stack([(up - down) / (2 * h) for (up, down), h in zip(ends, sizes, strict=True)], -1)


def curvature(
    value: Callable[[np.ndarray], Any], p: np.ndarray, step: float | np.ndarray
) -> np.ndarray:
    """Return the second derivatives of a value at p."""
    return slopes(lambda q: slopes(value, q, step), p, step)
