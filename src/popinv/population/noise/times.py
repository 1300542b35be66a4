"""The times of observations whose noise is correlated in time."""

from __future__ import annotations

import numpy as np

from popinv.errors import ConfigError
from popinv.forward.base import Observations


def regular_times(kind: str, observations: Observations) -> int:
    """Return the number of times, for noise of a kind that is correlated in time.

    Raises
    ------
    ConfigError
        If the times are not the same and regular at every place.
    """
    count = observations.time_count
    if count is None:
        raise ConfigError(
            f"noise.kind: got '{kind}', which is correlated in time, but the observations have "
            f"no time: their coordinates are {', '.join(observations.coordinate_names)}."
        )
    times = observations.coordinates[:, -1]
    alike = np.array_equal(times, np.tile(times[:count], len(times) // count))
    steps = np.diff(times[:count])
    # Times are sums and products of decimal numbers, regular to a few units of rounding.
    if not alike or count < 2 or not np.allclose(steps, steps[0], rtol=1e-6, atol=0):
        raise ConfigError(
            f"noise.kind: got '{kind}', which needs at least two equally spaced times, the same "
            "at every place and fastest in the order of the observations."
        )
    return count
