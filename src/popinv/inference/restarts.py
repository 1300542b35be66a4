"""Descents from several starts, each resumable, and the best of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from popinv.checkpoints import Checkpoint
from popinv.inference.assessment import best_of
from popinv.inference.descent import (
    Descent,
    DescentSettings,
    DescentState,
    Problem,
    begin,
    run,
    state_from_arrays,
    state_to_arrays,
)
from popinv.seeds import generator

__all__ = ["descend", "start_near"]


def start_near(problem: Problem, p: np.ndarray, index: int) -> np.ndarray:
    """Return start number ``index``: p itself, then draws about it with the problem's scale."""
    if index == 0:
        return p
    draw = generator(problem.seed, f"{problem.stage}/start", index).standard_normal(len(p))
    return p + np.where(problem.free, problem.scale * draw, 0.0)


def descend(
    problem: Problem,
    settings: DescentSettings,
    start: tuple[np.ndarray, np.ndarray],
    restarts: int = 1,
    checkpoint: Checkpoint | None = None,
) -> Descent:
    """Descend from each start and return the descent that ends at the smallest fixed loss.

    A checkpoint holds the descents that are done and the state of the one under way, so that an
    interrupted call goes on where it stopped and returns the same bits.
    """
    p = np.concatenate(start)
    kept = {} if checkpoint is None else checkpoint.read() or {}
    done: list[Descent] = []
    for index in range(restarts):
        this = replace(problem, stage=f"{problem.stage}/{index}")
        ours = {k.split(".", 1)[1]: v for k, v in kept.items() if k.startswith(f"{index}.")}
        first = start_near(problem, p, index)
        state = (
            state_from_arrays(ours)
            if ours
            else begin(first[: problem.d_alpha], first[problem.d_alpha :], settings)
        )

        def save(state: DescentState, index: int = index) -> None:
            if checkpoint is not None:
                kept.update({f"{index}.{k}": v for k, v in state_to_arrays(state).items()})
                checkpoint.write(kept)

        name = "descent" if restarts == 1 else f"descent {index + 1} of {restarts}"
        done.append(run(state, this, settings, save, description=name))
        save(done[-1].state)
    return done[best_of(done)] if restarts > 1 else done[0]
