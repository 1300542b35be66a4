"""Descents from several starts, each resumable, and the best of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from popinv.checkpoints import Checkpoint
from popinv.errors import DivergenceError
from popinv.inference.descent import Descent, run
from popinv.inference.problem import (
    DescentSettings,
    DescentState,
    Problem,
    begin,
    state_from_arrays,
    state_to_arrays,
)
from popinv.seeds import generator

__all__ = ["best_of", "descend", "starts_near"]

Start = tuple[np.ndarray, np.ndarray]


def starts_near(problem: Problem, start: Start, count: int) -> list[Start]:
    """Return the given start, then draws about it with the problem's scale."""
    p = np.concatenate(start)
    starts = [start]
    for index in range(1, count):
        draw = generator(problem.seed, f"{problem.stage}/start", index).standard_normal(len(p))
        moved = p + np.where(problem.free, problem.scale * draw, 0.0)
        starts.append((moved[: problem.d_alpha], moved[problem.d_alpha :]))
    return starts


def descend(
    problem: Problem,
    settings: DescentSettings,
    starts: Sequence[Start],
    checkpoint: Checkpoint | None = None,
    description: str = "descent",
) -> Descent:
    """Descend from each start and return the descent that ends at the smallest fixed loss.

    All descents see the same random numbers, so that their losses compare. A checkpoint holds
    the descents that are done and the state of the one under way: an interrupted call goes on
    where it stopped and returns the same bits.

    A surrogate that has not seen the neighbourhood of a start can send the descent from there
    astray; it is then left out, with a message.

    Raises
    ------
    DivergenceError
        If every descent diverges.
    """
    kept = {} if checkpoint is None else checkpoint.read() or {}
    done: list[Descent] = []
    diverged: list[DivergenceError] = []
    for index, (alpha, gamma) in enumerate(starts):
        ours = {k.split(".", 1)[1]: v for k, v in kept.items() if k.startswith(f"{index}.")}
        state = state_from_arrays(ours) if ours else begin(alpha, gamma, settings)

        def save(state: DescentState, index: int = index) -> None:
            if checkpoint is not None:
                kept.update({f"{index}.{k}": v for k, v in state_to_arrays(state).items()})
                checkpoint.write_when_due(kept)

        name = f"{description}, start {index + 1} of {len(starts)}"
        try:
            done.append(run(state, problem, settings, save, description=name))
        except DivergenceError as error:
            print(f"start {index + 1} of {len(starts)} is left out: {error}")
            diverged.append(error)
            continue
        if index + 1 < len(starts):
            save(done[-1].state)
    if not done:
        raise diverged[0]
    return done[best_of(done)]


def best_of(descents: Sequence[Descent]) -> int:
    """Return the index of the descent with the smallest loss in the fixed metric at its end.

    The weighted loss is not comparable between descents that end at different noise.
    """
    means = []
    for descent in descents:
        seen = descent.state.fixed_loss[~np.isnan(descent.state.fixed_loss)]
        means.append(seen[-max(1, len(seen) // 4) :].mean())
    return int(np.argmin(means))
