"""Lorenz-96 in Numba as one writes it by hand for speed: blocks of 32 members innermost.

With ``fastmath``, which the package does without: its answers are the same bit for bit wherever a
member stands in a batch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np

from benchmarks.peers.lorenz96 import Coefficients

__all__ = ["BLOCK", "hand_blocked"]

BLOCK = 32


@numba.njit(fastmath=True)
def _slope_one(x, slope, forcing):
    variables = x.shape[0]
    for k in range(variables):
        after, before, two_before = (k + 1) % variables, k - 1, k - 2
        for m in range(BLOCK):
            slope[k, m] = x[before, m] * (x[after, m] - x[two_before, m]) - x[k, m] + forcing[m]


@numba.njit(fastmath=True)
def _slope_two(x, y, slope_x, slope_y, forcing, feedback, advection, decay, drive):
    variables, ring = x.shape[0], y.shape[0]
    each = ring // variables
    _slope_one(x, slope_x, forcing)
    total = np.empty(BLOCK)
    for k in range(variables):
        total[:] = 0.0
        for j in range(k * each, (k + 1) * each):
            after, two_after, before = (j + 1) % ring, (j + 2) % ring, j - 1
            for m in range(BLOCK):
                total[m] += y[j, m]
                slope_y[j, m] = (
                    drive[m] * x[k, m]
                    - decay[m] * y[j, m]
                    - advection[m] * y[after, m] * (y[two_after, m] - y[before, m])
                )
        for m in range(BLOCK):
            slope_x[k, m] -= feedback[m] / each * total[m]


@numba.njit(fastmath=True)
def _begin(u, slope, total, ahead, dt):
    for k in range(u.shape[0]):
        for m in range(BLOCK):
            total[k, m] = u[k, m] + dt / 6 * slope[k, m]
            ahead[k, m] = u[k, m] + dt / 2 * slope[k, m]


@numba.njit(fastmath=True)
def _go_on(u, slope, total, ahead, dt, share):
    for k in range(u.shape[0]):
        for m in range(BLOCK):
            total[k, m] += dt / 3 * slope[k, m]
            ahead[k, m] = u[k, m] + share * dt * slope[k, m]


@numba.njit(fastmath=True)
def _end(u, slope, total, dt):
    for k in range(u.shape[0]):
        for m in range(BLOCK):
            u[k, m] = total[k, m] + dt / 6 * slope[k, m]


@numba.njit(fastmath=True)
def _march_one(start, forcing, dt, steps):
    x = start.copy()
    slope, total, ahead = np.empty_like(x), np.empty_like(x), np.empty_like(x)
    for _ in range(steps):
        _slope_one(x, slope, forcing)
        _begin(x, slope, total, ahead, dt)
        _slope_one(ahead, slope, forcing)
        _go_on(x, slope, total, ahead, dt, 0.5)
        _slope_one(ahead, slope, forcing)
        _go_on(x, slope, total, ahead, dt, 1.0)
        _slope_one(ahead, slope, forcing)
        _end(x, slope, total, dt)
    return x


@numba.njit(fastmath=True)
def _march_two(start_x, start_y, forcing, feedback, advection, decay, drive, dt, steps):
    x, y = start_x.copy(), start_y.copy()
    slope_x, total_x, ahead_x = np.empty_like(x), np.empty_like(x), np.empty_like(x)
    slope_y, total_y, ahead_y = np.empty_like(y), np.empty_like(y), np.empty_like(y)
    for _ in range(steps):
        _slope_two(x, y, slope_x, slope_y, forcing, feedback, advection, decay, drive)
        _begin(x, slope_x, total_x, ahead_x, dt)
        _begin(y, slope_y, total_y, ahead_y, dt)
        for share in (0.5, 1.0):
            _slope_two(
                ahead_x, ahead_y, slope_x, slope_y, forcing, feedback, advection, decay, drive
            )
            _go_on(x, slope_x, total_x, ahead_x, dt, share)
            _go_on(y, slope_y, total_y, ahead_y, dt, share)
        _slope_two(ahead_x, ahead_y, slope_x, slope_y, forcing, feedback, advection, decay, drive)
        _end(x, slope_x, total_x, dt)
        _end(y, slope_y, total_y, dt)
    return x, y


def hand_blocked(
    x: np.ndarray, y: np.ndarray, coefficients: Coefficients, dt: float, steps: int
) -> Callable[[], tuple[Any, Any]]:
    """Return the march, with the members cut into blocks; the last one is filled up."""
    members = x.shape[-1]
    chosen = [
        np.minimum(np.arange(start, start + BLOCK), members - 1)
        for start in range(0, members, BLOCK)
    ]

    def march() -> tuple[Any, Any]:
        x_end, y_end = np.empty_like(x), np.empty_like(y)
        for block in chosen:
            own_x, own_y = np.ascontiguousarray(x[:, block]), np.ascontiguousarray(y[:, block])
            forcing, h, c, b = (values[block] for values in vars(coefficients).values())
            if len(y):
                drive = h * c * len(x) / len(y)
                x_end[:, block], y_end[:, block] = _march_two(
                    own_x, own_y, forcing, h * c, c * b, c, drive, dt, steps
                )
            else:
                x_end[:, block] = _march_one(own_x, forcing, dt, steps)
        return x_end, y_end

    return march
