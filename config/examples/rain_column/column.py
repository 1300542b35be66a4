"""Head in a porous column under a series of rain, by finite volumes."""

import numpy as np

LENGTH, CELLS, SENSOR = 1.0, 20, 17  # m; the sensor is 0.125 m below the surface


def _modes():
    """Return decay rates (m,) and modes (m, m) of -h'' with a drain below and a closed top."""
    width = LENGTH / CELLS
    matrix = 2 * np.eye(CELLS) - np.eye(CELLS, k=1) - np.eye(CELLS, k=-1)
    matrix[0, 0], matrix[-1, -1] = 3.0, 1.0
    return np.linalg.eigh(matrix / width**2)


RATES, MODES = _modes()
# What a unit of rain adds to each mode.
SOURCE = MODES[-1] * CELLS / LENGTH


def solve(z, times, inputs):
    """Return the head at the sensor (n, T) in m.

    S h_t = K h_xx with h = 0 at the drain and K h_x = rain(t) at the surface, where the column is
    dry at first and each rain lasts until the next entry of the series. In space this is a system
    of linear equations, whose modes are solved without an error in time.

    Parameters
    ----------
    z : array of shape (n, 2)
        K (m/day) and S (1/m).
    times : array of shape (T,)
        Days.
    inputs : dict of arrays of shape (n, k)
        ``time`` (day) and ``rain`` (mm/day).
    """
    conductivity, storage = z[:, :1], z[:, 1:]
    decay = conductivity / storage * RATES
    begin, rain = inputs["time"], inputs["rain"] / 1000
    # The modes when each rain begins.
    states = np.zeros((len(z), begin.shape[1], CELLS))
    for k in range(begin.shape[1] - 1):
        states[:, k + 1] = _after(
            begin[:, k + 1] - begin[:, k], states[:, k], rain[:, k], decay, storage
        )
    heads = np.zeros((len(z), len(times)))
    rows = np.arange(len(z))
    for j, time in enumerate(times):
        last = (begin <= time).sum(axis=1) - 1
        wet = last >= 0
        found = _after(
            time - begin[rows, last], states[rows, last], rain[rows, last], decay, storage
        )
        heads[wet, j] = (found @ MODES[SENSOR])[wet]
    return heads


def _after(duration, state, rain, decay, storage):
    """Return the modes (n, m) after a duration (n,) of constant rain (n,)."""
    # Before the first rain the duration is negative, and the result is not used.
    left = np.exp(-decay * np.maximum(duration, 0)[:, None])
    return left * state + (1 - left) * SOURCE * rain[:, None] / (storage * decay)
