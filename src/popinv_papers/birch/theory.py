"""The paper's Theorem 2.4: its numbers, whether its promise is kept, and the times that follow.

The theorem assumes an L-smooth f, unbiased gradients of variance at most sigma^2, and
Delta = f(x^0) - inf f. The goal is a mean of E |grad f(x^k)|^2 of at most eps.

Its promise is tried on the quadratic. A method of largest distance R is run for as many gradients
as the theorem says, with its step size. The mean of |grad f(x^k)|^2 over the main branch should
then be at most eps.

The clock says how long workers take for these gradients, without messages. A method is optimal in
time if the quotient of this time and the lower bound stays below a constant, however unequal
workers are and however many.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from popinv.seeds import generator
from popinv_papers.birch.catalogue import distance_bound, policy
from popinv_papers.birch.engine import Run, Workers
from popinv_papers.birch.objectives import Objective
from popinv_papers.birch.regime_names import VARIATION
from popinv_papers.birch.regimes import Task, workers_of
from popinv_papers.birch.replay import points_on_main_branch
from popinv_papers.kit.kept import kept_numbers


@dataclass(frozen=True)
class ProblemConstants:
    """The constants L, Delta, sigma^2 and eps."""

    smoothness: float
    gap: float
    variance: float
    accuracy: float

    @property
    def steps(self) -> float:
        """L Delta / eps: the number of gradients of a run without noise, up to a constant."""
        return self.smoothness * self.gap / self.accuracy

    @property
    def noise(self) -> float:
        """sigma^2 / eps: the number of gradients that may be taken at one point at no cost."""
        return self.variance / self.accuracy


def step_size(problem: ProblemConstants, distance: int) -> float:
    """Return gamma = min(1/(2L), 1/(2RL), eps/(4 sigma^2 L)), of the paper's Theorem 2.4."""
    step = 1 / (2 * problem.smoothness * max(1, distance))
    if problem.variance > 0:
        step = min(step, 1 / (4 * problem.noise * problem.smoothness))
    return step


def gradients(problem: ProblemConstants, distance: int) -> float:
    """Return K = 4 (R+1) L Delta/eps + 8 sigma^2 L Delta/eps^2, of the paper's Theorem 2.4."""
    return 4 * (distance + 1) * problem.steps + 8 * problem.noise * problem.steps


def batch(problem: ProblemConstants) -> int:
    """Return max(ceil(sigma^2/eps), 1), the paper's B and G (its M G for both together)."""
    return max(1, math.ceil(problem.noise))


def least_time(problem: ProblemConstants, compute: Sequence[float]) -> float:
    r"""Return the lower bound on the time of any method, up to a constant.

    With h_1 <= ... <= h_n the times of a gradient, and messages that take no time, it is

    .. math:: \min_m \Bigl( \frac1m \sum_{i \le m} \frac1{h_i} \Bigr)^{-1}
              \Bigl( \frac{L \Delta}{\epsilon} + \frac{\sigma^2 L \Delta}{m \epsilon^2} \Bigr).
    """
    fastest = sorted(compute)
    times = []
    for m in range(1, len(fastest) + 1):
        mean_speed = sum(1 / h for h in fastest[:m]) / m
        times.append((problem.steps + problem.noise * problem.steps / m) / mean_speed)
    return min(times)


def own_time(name: str, problem: ProblemConstants, compute: Sequence[float]) -> float:
    r"""Return the bound on a method's time, up to a constant, with messages that take no time.

    Vanilla SGD uses the fastest worker, h_1 (L Delta/eps + sigma^2 L Delta/eps^2). Synchronized SGD
    and Cycle SGD wait for the slowest, h_n (L Delta/eps + sigma^2 L Delta/(n eps^2)). All others
    have the lower bound itself, :func:`least_time`: they are optimal.
    """
    if name == "vanilla":
        return min(compute) * (problem.steps + problem.noise * problem.steps)
    if name in ("minibatch", "cycle"):
        return max(compute) * (problem.steps + problem.noise * problem.steps / len(compute))
    return least_time(problem, compute)


# Share of the theorem's gradients after which the promise is not yet kept.
EARLY = 1 / 16


@dataclass(frozen=True)
class Promise:
    """A comparison of the theorem with a run of its own step size and number of gradients.

    Attributes
    ----------
    accuracy : float
        eps.
    mean, early : float
        Mean of |grad f(x^k)|^2 over the main branch, and over the first gradients of it.
    """

    name: str
    accuracy: float
    mean: float
    early: float


def promise(objective: Objective, seed: int) -> list[Promise]:
    """Run methods as the paper's Theorem 2.4 says, on the quadratic."""
    accuracy = 1.0
    variance = len(objective.start) * objective.deviation**2
    problem = ProblemConstants(objective.smoothness, objective.gap, variance, accuracy)
    workers, enough = workers_of("heterogeneous_compute", 16), batch(problem)
    promises = []
    for name, settings in (
        ("minibatch", {}),
        ("rennala", {"batch": enough}),
        ("ringmaster", {"delay": enough}),
        ("local", {"batch": enough}),
        ("async_local", {"steps": 5, "delay": max(1, enough // 5)}),
        ("cycle", {"group": 16}),
    ):
        given: dict[str, float] = dict(settings)
        means = kept_numbers(
            f"promise {name} seed {seed}",
            partial(_mean_squares, name, given, workers, problem, objective, seed),
        )
        promises.append(Promise(name, accuracy, **means))
    return promises


def _run(
    name: str, settings: Mapping[str, float], workers: Workers, problem: ProblemConstants
) -> tuple[Run, int, int]:
    """Return a run of the theorem's number of gradients, the largest distance and this number."""
    distance = distance_bound(name, workers.count, settings)
    assert distance is not None
    count = math.ceil(gradients(problem, distance))
    run = Run(workers, policy(name, workers.count, settings))
    run.until(count)
    return run, distance, count


def _mean_squares(
    name: str,
    settings: dict[str, float],
    workers: Workers,
    problem: ProblemConstants,
    objective: Objective,
    seed: int,
) -> dict[str, float]:
    """Return the mean |grad f|^2 over the theorem's gradients, and over the early ones."""
    run, bound, count = _run(name, settings, workers, problem)
    looks = np.arange(0, count, 4)
    task = Task(f"promise/{name}", objective, 0.0, (step_size(problem, bound),), count)
    squares = _square_slopes(run, task, looks, seed)
    return {"mean": squares.mean(), "early": squares[: math.ceil(EARLY * len(squares))].mean()}


def _square_slopes(run: Run, task: Task, looks: np.ndarray, seed: int) -> np.ndarray:
    points = points_on_main_branch(
        run.arrays(), looks, task.rates, task.objective, generator(seed, f"birch/{task.name}")
    )[:, 0]
    # A x - b of the quadratic: neighbours beyond the ends are zero, b is -e_1/4.
    beyond = np.pad(points, ((0, 0), (1, 1)))
    slopes = 0.25 * (2 * points - beyond[:, :-2] - beyond[:, 2:])
    slopes[:, 0] += 0.25
    return np.square(slopes).sum(axis=1)


# L Delta/eps = 4 and sigma^2/eps = 64.
PROBLEM = ProblemConstants(1.0, 4.0, 64.0, 1.0)
_BATCH = batch(PROBLEM)
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
    """Return the settings that the theory requires with n workers.

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
    name: str, workers: Workers, bound: Callable[[ProblemConstants, Sequence[float]], float]
) -> float:
    """Return the time of the theorem's number of gradients over a bound."""
    run, _, _ = _run(name, settings_for(name, workers.count), workers, PROBLEM)
    return run.now / bound(PROBLEM, workers.compute)


def over_bounds(seeds: Sequence[int]) -> dict[str, list[float]]:
    """Return the largest quotient over all families and numbers of workers, one for each seed.

    Under the name of a method is its time over the lower bound; under ``own_<method>`` it is over
    its own bound.
    """

    def largest(
        name: str, bound: Callable[[ProblemConstants, Sequence[float]], float], seed: int
    ) -> float:
        cases = [workers_in(family, n, seed) for family in FAMILIES for n in COUNTS]
        return max(time_over(name, workers, bound) for workers in cases)

    found = {
        name: [largest(name, least_time, seed) for seed in seeds] for name in (*OPTIMAL, *OTHERS)
    }
    for name in OTHERS:
        own = partial(own_time, name)
        found[f"own_{name}"] = [largest(name, own, seed) for seed in seeds]
    return found
