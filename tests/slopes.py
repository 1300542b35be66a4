"""Derivatives by central differences, which tests compare with those of the code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np


def slopes(value: Callable[[np.ndarray], Any], p: np.ndarray, step: float) -> np.ndarray:
    """Return the derivatives of a value at p, along the last axis; the error is O(step**2)."""
    shifts = step * np.eye(len(p))
    return np.stack([(value(p + s) - value(p - s)) / (2 * step) for s in shifts], axis=-1)
