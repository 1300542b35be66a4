"""The promise of the theorem, on the quadratic: its own step size and number of gradients.

A method of largest distance R is run for as many gradients as Theorem 2.4 says, with its step size.
The mean of |grad f(x^k)|^2 over the main branch should then be at most eps.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

import numpy as np

from popinv.seeds import generator
from popinv_papers.birch import theory
from popinv_papers.birch.catalogue import distance_bound, policy
from popinv_papers.birch.engine import Run, Workers
from popinv_papers.birch.objectives import Objective
from popinv_papers.birch.regimes import Task, workers_of
from popinv_papers.birch.replay import points_on_main_branch
from popinv_papers.kit.kept import kept_numbers

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
    problem = theory.Problem(objective.smoothness, objective.gap, variance, accuracy)
    workers, batch = workers_of("heterogeneous_compute", 16), theory.batch(problem)
    promises = []
    for name, settings in (
        ("minibatch", {}),
        ("rennala", {"batch": batch}),
        ("ringmaster", {"delay": batch}),
        ("local", {"batch": batch}),
        ("async_local", {"steps": 5, "delay": max(1, batch // 5)}),
        ("cycle", {"group": 16}),
    ):
        given: dict[str, float] = dict(settings)
        means = kept_numbers(
            f"promise {name} seed {seed}",
            partial(_mean_squares, name, given, workers, problem, objective, seed),
        )
        promises.append(Promise(name, accuracy, **means))
    return promises


def _mean_squares(
    name: str,
    settings: dict[str, float],
    workers: Workers,
    problem: theory.Problem,
    objective: Objective,
    seed: int,
) -> dict[str, float]:
    """Return the mean |grad f|^2 over the theorem's gradients, and over the early ones."""
    bound = distance_bound(name, workers.count, settings)
    assert bound is not None
    count = math.ceil(theory.gradients(problem, bound))
    run = Run(workers, policy(name, workers.count, settings))
    run.until(count)
    looks = np.arange(0, count, 4)
    task = Task(f"promise/{name}", objective, 0.0, (theory.step_size(problem, bound),), count)
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
