"""The time of each method over the lower bound and over its own, for families of speeds.

The theorem says how many gradients a method needs with its largest distance. The clock says how
long workers take for them, without messages. A method is optimal in time if the quotient of this
time and the lower bound stays below a constant, however unequal workers are and however many.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np

from popinv.seeds import generator
from popinv_papers.birch import theory
from popinv_papers.birch.catalogue import distance_bound, policy
from popinv_papers.birch.engine import Run, Workers
from popinv_papers.birch.regime_names import VARIATION

# L Delta/eps = 4 and sigma^2/eps = 64.
PROBLEM = theory.Problem(1.0, 4.0, 64.0, 1.0)
_BATCH = theory.batch(PROBLEM)
COUNTS = (8, 32, 128)
"""Numbers of workers; the last is more than sigma^2/eps, so that a method may not wait for all."""

FAMILIES: Mapping[str, Callable[[int, np.random.Generator], np.ndarray]] = {
    "equal": lambda n, rng: np.ones(n),
    "linear": lambda n, rng: 1.0 + np.arange(n),
    "geometric": lambda n, rng: 1.5 ** np.arange(n),
    "one straggler": lambda n, rng: np.append(np.ones(n - 1), 1000.0),
    "log-normal": lambda n, rng: np.exp(2 * rng.standard_normal(n)),
}
"""Gradient times h_i of n workers by the name of the family."""

OPTIMAL = (
    "rennala",
    "ringmaster",
    "local",
    "async_local",
    "async_batch",
    "local_async",
    "nested_local_async",
    "dual_process",
)
"""Methods that the paper counts among the optimal ones; of the new ones by our reading."""
OTHERS = ("vanilla", "minibatch", "cycle")
"""Methods that have a bound of their own."""


def settings_for(name: str, count: int) -> dict[str, float]:
    """Return the settings that the theory asks for with n workers.

    Steps and delay follow from M = max(ceil(sigma^2/(n eps)), 1) and M G = sigma^2/eps, the group
    of Cycle SGD from s = n^2 eps/sigma^2, to the next divisor of n.
    """
    steps = max(math.ceil(PROBLEM.noise / count), 1)
    group = max(1, math.ceil(count**2 / PROBLEM.noise))
    divisors = [s for s in range(1, count + 1) if count % s == 0]
    known: dict[str, dict[str, float]] = {
        "rennala": {"batch": _BATCH},
        "ringmaster": {"delay": _BATCH},
        "local": {"batch": _BATCH},
        "async_local": {"steps": steps, "delay": max(math.ceil(_BATCH / steps), 1)},
        "local_async": {"clusters": 4, "batch": _BATCH},
        "nested_local_async": {"sites": 4, "servers": 2, "inner": _BATCH // 8, "batch": _BATCH},
        "dual_process": {"batch": _BATCH, "most": 2 * _BATCH},
        "cycle": {"group": next((s for s in divisors if s >= group), count)},
    }
    known["async_batch"] = known["async_local"]
    return known.get(name, {})


def workers_in(family: str, count: int, seed: int) -> Workers:
    """Return the workers of a family, whose gradient times vary by 30 % about their mean."""
    rng = generator(seed, f"birch/speeds/{family}", count)
    speeds = tuple(FAMILIES[family](count, rng).tolist())
    return Workers(speeds, (0.0,) * count, VARIATION, seed)


def time_over(
    name: str, workers: Workers, bound: Callable[[theory.Problem, Sequence[float]], float]
) -> float:
    """Return the time of the theorem's number of gradients over a bound."""
    settings = settings_for(name, workers.count)
    distance = distance_bound(name, workers.count, settings)
    assert distance is not None
    count = math.ceil(theory.gradients(PROBLEM, distance))
    run = Run(workers, policy(name, workers.count, settings))
    run.until(count)
    return run.now / bound(PROBLEM, workers.compute)


def over_bounds(seeds: Sequence[int]) -> dict[str, list[float]]:
    """Return the largest quotient over all families and numbers of workers, one for each seed.

    Returns
    -------
    dict
        By the name of a method, time over the lower bound; by ``own_<method>``, over its own bound.
    """

    def largest(
        name: str, bound: Callable[[theory.Problem, Sequence[float]], float], seed: int
    ) -> float:
        cases = [workers_in(family, n, seed) for family in FAMILIES for n in COUNTS]
        return max(time_over(name, workers, bound) for workers in cases)

    found = {
        name: [largest(name, theory.least_time, seed) for seed in seeds]
        for name in (*OPTIMAL, *OTHERS)
    }
    for name in OTHERS:
        own = partial(theory.own_time, name)
        found[f"own_{name}"] = [largest(name, own, seed) for seed in seeds]
    return found
