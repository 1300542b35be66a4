"""One pass over arrays of soft-bounds devices, for :class:`.pulses.Pulses`.

The thirty operations of :func:`.devices.pulsed_update` each read and write whole arrays when they
run one after the other. Compiled into one loop they take a tenth of the time (256 x 784 devices).
"""

from __future__ import annotations

import numba
import numpy as np


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _pass(w, change, size, bounds, normal, per_pulse, granularity, noise):  # type: ignore[no-untyped-def]
    whole, squares, signed = size
    high, low, gain_up, gain_down = bounds
    moved = np.empty_like(w)
    zero, one = w.dtype.type(0), w.dtype.type(1)
    for i in range(w.size):
        # Rounding may make the difference of two equal sums negative.
        up, down = whole[i] + change[i], whole[i] - change[i]
        up = (up if up > zero else zero) * per_pulse
        down = (down if down > zero else zero) * per_pulse
        vary_up = up - (squares[i] + signed[i]) * per_pulse
        vary_down = down - (squares[i] - signed[i]) * per_pulse
        vary_up = vary_up if vary_up > zero else zero
        vary_down = vary_down if vary_down > zero else zero
        q_up = gain_up[i] * (one - w[i] / high[i])
        q_down = gain_down[i] * (one - w[i] / low[i])
        variance = vary_up * q_up * q_up + vary_down * q_down * q_down
        cycles = up * gain_up[i] * gain_up[i] + down * gain_down[i] * gain_down[i]
        spread = np.sqrt(variance + noise * noise * cycles)
        new = w[i] + granularity * (up * q_up - down * q_down + spread * normal[i])
        new = new if new < high[i] else high[i]
        moved[i] = new if new > low[i] else low[i]
    return moved


def pulsed_soft_bounds(
    w: np.ndarray,
    change: np.ndarray,
    size: np.ndarray,
    bounds: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray],
    normal: np.ndarray,
    granularity: float,
    cycle_noise: float,
) -> np.ndarray:
    """Return the conductances after increments, as :func:`.devices.pulsed_update` gives them.

    Parameters
    ----------
    w, change, normal : array of shape (rows, columns)
        Conductances, wished increments and standard normal numbers, all of one dtype.
    size : array of shape (3, rows, columns)
        See :func:`.pulses.sums_of_samples`, times the rate.
    bounds : four arrays of the shape of w
        Upper and lower bounds, and the gains up and down.
    """
    number = w.dtype.type
    moved: np.ndarray = _pass(
        w.ravel(),
        change.ravel(),
        tuple(size.reshape(3, -1)),
        tuple(np.ascontiguousarray(a).ravel() for a in bounds),
        normal.ravel(),
        number(0.5 / granularity),
        number(granularity),
        number(cycle_noise),
    )
    return moved.reshape(w.shape)
