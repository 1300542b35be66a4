"""Speeds of workers and messages, the settings to try, and the fastest of them.

All step sizes of a run share its clock, so the best is the one that reaches the target first.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from popinv.errors import require_known
from popinv.seeds import generator
from popinv_papers.birch.catalogue import policy
from popinv_papers.birch.engine import Run, Workers
from popinv_papers.birch.objectives import Objective, values
from popinv_papers.birch.regime_names import REGIMES, SWEPT, VARIATION
from popinv_papers.birch.replay import points_on_main_branch

# Values are the paper's where it states them. The gradient time 10 in the second and last is ours.
_LOOKS, _FINE_LOOKS = 8, 16
_FIRST = 1000
_OCTAVE = 2.0


@dataclass(frozen=True)
class Task:
    """An objective, its target of f - inf f (or its bound), and the most gradients of a run."""

    name: str
    objective: Objective
    target: float
    rates: tuple[float, ...]
    most: int

    @staticmethod
    def octaves(highest: float, count: int) -> tuple[float, ...]:
        """Return step sizes that fall by a factor of two."""
        return tuple(highest * _OCTAVE**-k for k in range(count))


@dataclass(frozen=True)
class Reached:
    """The fastest way in which a method reaches the target.

    Attributes
    ----------
    time : float
        Simulated time; infinite if no setting reached the target.
    run : Run or None
        The simulated run, which continues somewhat further.
    applied : int
        Number of gradients on the main branch at that time.
    tried : int
        Number of gradients simulated for all settings together.
    """

    settings: dict[str, float]
    rate: float
    time: float
    run: Run | None
    applied: int
    tried: int


def workers_of(regime: str, count: int, seed: int = 0) -> Workers:
    """Return n workers in one of the regimes; the seed draws their gradients' times.

    Raises
    ------
    ConfigError
        If the regime is not known.
    """
    known = (*REGIMES, *SWEPT)
    require_known(regime, known, f"regime '{regime}' is not known")
    compute, message = (10.0,) * count, (0.0,) * count
    if regime == "slow_communication":
        message = (100.0,) * count
    elif regime == "heterogeneous_compute":
        compute = tuple(1.0 if i % 2 == 0 else 10.0 for i in range(count))
    elif regime == "heterogeneous_communication":
        message = tuple(np.linspace(1.0, 100.0, count).tolist())
    return Workers(compute, message, SWEPT.get(regime, VARIATION), seed)


def settings_of(name: str, workers: Workers) -> list[dict[str, float]]:
    """Return the settings of a method that are tried with some workers."""
    count, unit = workers.count, min(workers.compute)
    spans = (16, 64, 256, 1024)
    wide = (64, 256, 1024)
    grids: dict[str, Iterable[dict[str, float]]] = {
        "rennala": ({"batch": b} for b in spans),
        "local": ({"batch": b} for b in spans),
        "dual_process": ({"batch": b, "most": 2 * b} for b in spans),
        "ringmaster": ({"delay": g} for g in spans),
        "cycle": ({"group": max(1, count // part)} for part in (1, 4, 16)),
        "async_local": ({"steps": m, "delay": r // m} for r in wide for m in (1, 2, 8)),
        "async_batch": ({"steps": m, "delay": r // m} for r in wide for m in (1, 2, 8)),
        "local_async": ({"clusters": c, "batch": b} for b in wide for c in sorted({4, count // 4})),
        "nested_local_async": (
            {"sites": 4, "servers": 2, "inner": b // 8, "batch": b} for b in wide
        ),
        "meta_local": ({"bound": r, "period": unit * m} for r in wide for m in (2, 8)),
    }
    return list(grids.get(name, [{}]))


def settled(run: Run, places: np.ndarray) -> np.ndarray:
    """Return the last node of the main branch at the time of each place, without repetition.

    If many gradients are appended at one time, no worker holds the points between.
    """
    times = np.asarray(run.tree.time)
    at = times[places.round().astype(int)]
    return np.unique(np.searchsorted(times, at, side="right") - 1)


def losses(
    run: Run, task: Task, looks: np.ndarray, rates: Sequence[float] | np.ndarray, seed: int
) -> np.ndarray:
    """Return f - inf f along the main branch, shape (looks, rates); infinite if it diverged."""
    points = points_on_main_branch(
        run.arrays(), looks, rates, task.objective, generator(seed, f"birch/{task.name}")
    )
    gaps = values(task.objective, points.reshape(-1, points.shape[-1]))
    gaps = gaps.reshape(points.shape[:2]) - task.objective.lowest
    return np.where(np.isfinite(gaps), gaps, np.inf)


def fastest(name: str, workers: Workers, task: Task, seed: int) -> Reached:
    """Return the fastest setting and step size of a method to a task's target.

    A setting is only followed as long as it could still be the fastest.
    """
    best, simulated = Reached({}, math.nan, math.inf, None, 0, 0), 0
    for setting in settings_of(name, workers):
        run = Run(workers, policy(name, workers.count, setting))
        first_meeting = _follow(run, task, best.time, seed)
        simulated += run.computed
        if first_meeting is not None and first_meeting[0] < best.time:
            time, rate, applied = first_meeting
            best = Reached(setting, rate, time, run, applied, 0)
    return replace(best, tried=simulated)


def _follow(run: Run, task: Task, limit: float, seed: int) -> tuple[float, float, int] | None:
    """Return time, step size and gradients at which a run first reaches the target, if it does."""
    before, goal = 0, min(_FIRST, task.most)
    while True:
        run.until(goal, limit)
        if run.applied <= before:
            return None
        looks = settled(run, np.linspace(before, run.applied, _LOOKS + 1)[1:])
        met = losses(run, task, looks, task.rates, seed) <= task.target
        if met.any():
            first = int(np.flatnonzero(met.any(axis=1))[0])
            rates = np.asarray(task.rates)[met[first]]
            start = before if first == 0 else looks[first - 1]
            return _refine(run, task, start, looks[first], rates, seed)
        if run.applied < goal or goal >= task.most:
            return None
        before, goal = run.applied, min(2 * goal, task.most)


def _refine(
    run: Run, task: Task, start: int, end: int, rates: np.ndarray, seed: int
) -> tuple[float, float, int]:
    looks = settled(run, np.linspace(start, end, _FINE_LOOKS + 1)[1:])
    met = losses(run, task, looks, rates, seed) <= task.target
    first = int(np.flatnonzero(met.any(axis=1))[0])
    rate = float(rates[met[first]][0])
    return float(run.tree.time[looks[first]]), rate, int(looks[first])
