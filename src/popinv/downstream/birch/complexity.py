"""The time of each method over the lower bound, for workers of drawn speeds.

The theorem says how many gradients a method needs with its largest distance. The clock says how
long workers take for them, without messages. A method is optimal in time if the quotient of this
time and the lower bound stays below a constant, however unequal workers are.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from popinv.downstream.birch import theory
from popinv.downstream.birch.catalogue import distance_bound, policy
from popinv.downstream.birch.engine import Run, Workers
from popinv.seeds import generator

__all__ = ["OPTIMAL", "PROBLEM", "WASTEFUL", "drawn_workers", "over_least_time"]

# L Delta/eps = 4 and sigma^2/eps = 64.
PROBLEM = theory.Problem(1.0, 4.0, 64.0, 1.0)
# More than sigma^2/eps, so that a method may not wait for all of them.
_WORKERS = 128
_BATCH = theory.batch(PROBLEM)
OPTIMAL: Mapping[str, Mapping[str, float]] = {
    "local": {"batch": _BATCH},
    "async_local": {"steps": 1, "delay": _BATCH},
    "async_batch": {"steps": 1, "delay": _BATCH},
    "local_async": {"clusters": 4, "batch": _BATCH},
    "nested_local_async": {"sites": 4, "servers": 2, "inner": _BATCH // 8, "batch": _BATCH},
    "dual_process": {"batch": _BATCH, "most": 2 * _BATCH},
}
"""Methods that the abstract counts among the optimal ones, by our reading, with their settings.

Steps and delay follow from M = max(ceil(sigma^2/(n eps)), 1) and M G = sigma^2/eps.
"""
WASTEFUL: Mapping[str, float] = {}
"""The settings of Synchronized SGD, which waits for the slowest worker."""


def drawn_workers(spread: float, seed: int) -> Workers:
    """Return workers whose gradient times are log-normal with a deviation of the logarithm."""
    logarithms = spread * generator(seed, "birch/speeds").standard_normal(_WORKERS)
    return Workers(tuple(np.exp(logarithms).tolist()), (0.0,) * _WORKERS)


def over_least_time(name: str, settings: Mapping[str, float], workers: Workers) -> float:
    """Return the time of the theorem's number of gradients over the lower bound."""
    bound = distance_bound(name, workers.count, settings)
    assert bound is not None
    count = math.ceil(theory.gradients(PROBLEM, bound))
    run = Run(workers, policy(name, workers.count, settings))
    run.until(count)
    return run.now / theory.least_time(PROBLEM, workers.compute)
