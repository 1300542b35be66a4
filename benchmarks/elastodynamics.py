"""Elastodynamics beside two ways of using Firedrake, in one run.

- naive: ``solve(a == L, u, bcs)`` for every time step of every system, as in a first script;
- built once: one ``LinearVariationalSolver`` for each system, whose factorised matrix all its
  time steps share;
- popinv: `Elastodynamics.solve` on the whole batch.

All three run Newmark's method on the same mesh with the same time step. For Firedrake the clock
runs from the stiffness of each cell, for popinv from z, for all to the observations; kernels are
compiled before. Processor time of one thread; the fastest turn counts, where there are several.

Run it with ``python benchmarks/elastodynamics.py``; nothing is asserted.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from popinv.forward.elastodynamics.model import Elastodynamics
from popinv.forward.elastodynamics.reference import newmark, solve_afresh
from popinv.forward.firedrake import load_firedrake

PLACES = np.array([[0.3, 0.5], [0.6, 0.5], [0.9, 0.5]])
TURNS = 3


def built_once(left: Any, right: Any, unknown: Any, condition: Any) -> Callable[[], Any]:
    fd = load_firedrake()
    problem = fd.LinearVariationalProblem(
        left, right, unknown, bcs=condition, constant_jacobian=True
    )
    return fd.LinearVariationalSolver(problem).solve


def firedrake_loop(
    model: Elastodynamics, z: np.ndarray, prepare: Callable[..., Callable[[], Any]], times: int
) -> tuple[float, np.ndarray]:
    """Seconds per system, and the observations at the first ``times`` times."""
    cells = len(model.operators.midpoints)
    start = time.process_time()
    values = [
        newmark(
            model.discretisation,
            np.full(cells, stiffness),
            (damping, 0.0),
            plucked=True,
            amplitude=1.0,
            source=None,
            time_step=model.time_step,
            times=times,
            steps=model.steps,
            prepare=prepare,
        ).ravel()
        for stiffness, damping in z
    ]
    return (time.process_time() - start) / len(z), np.array(values)


def compare(dimension: int, systems: int, target: float | None) -> None:
    """Time the three ways and print a table."""
    rng = np.random.default_rng(0)
    start = time.process_time()
    model = Elastodynamics(PLACES[:, :dimension], dimension=dimension)
    model.solve(np.ones((1, 2)))
    construction = time.process_time() - start
    z = np.exp(0.3 * rng.standard_normal((systems, 2))) * [1.0, 0.2]

    best = {"naive": np.inf, "built once": np.inf, "popinv": np.inf}
    answers = {}
    for name, prepare, few, turns in (
        ("naive", solve_afresh, 1, 1),
        ("built once", built_once, 2, TURNS),
    ):
        firedrake_loop(model, z[:1], prepare, times=1)  # compiles
        for _ in range(turns):
            seconds, answers[name] = firedrake_loop(model, z[:few], prepare, len(model.times))
            best[name] = min(best[name], seconds)
    for _ in range(TURNS):
        start = time.process_time()
        answers["popinv"] = model.solve(z).observations
        best["popinv"] = min(best["popinv"], (time.process_time() - start) / systems)

    steps = model.steps * len(model.times)
    print(
        f"\n{dimension}-D, {model.elements} elements along the length, "
        f"{model.operators.stiffness.unknowns} unknowns, {steps} time steps; "
        f"construction and first solve {construction:.1f} s"
    )
    print(f"{'way':<12}{'s per system':>15}{'popinv faster by':>18}{'difference':>13}")
    for name, seconds in best.items():
        ratio = seconds / best["popinv"]
        few = len(answers[name])
        difference = np.abs(answers[name] - answers["popinv"][:few]).max()
        print(f"{name:<12}{seconds:>15.5f}{ratio:>18.1f}{difference:>13.1e}")
    if target is not None:
        print(f"target: at least {target:g} times faster than naive")


if __name__ == "__main__":
    compare(dimension=1, systems=200, target=10)
    compare(dimension=2, systems=10, target=None)
