"""One iteration of the descent beside the predecessor's.

Both sides have 1000 systems, 1000 draws of the model, the same number of directions and the same
surrogate. The package takes its Gauss-Newton steps, whose matrix is made anew every 20 iterations:
a call makes 20. The correction for finite samples, which the predecessor lacks, is off.
"""

from __future__ import annotations

import functools

import numpy as np
import torch

from benchmarks import default_study
from benchmarks.peers.predecessor import Predecessor
from benchmarks.rows import Contest, Row, largest_difference
from popinv.inference.density.build import start
from popinv.inference.density.problem import Problem, begin
from popinv.inference.estimators.descent import step
from popinv.inference.estimators.settings import DescentSettings
from popinv.seeds import generator
from popinv.transport.sliced import directions

__all__ = ["loss_difference", "rows"]

_SYSTEMS, _ITERATIONS = 1000, 20


def rows() -> list[Row]:
    """Return the rows of both numbers of directions."""
    return [
        Row(
            name=f"descent_step_{count}/predecessor",
            work=f"one iteration, 1000 systems, 1000 draws of 50 observations, {count} directions",
            peer="torch autograd through torch.sort of whitened samples, Adam",
            packages=("torch",),
            target=1.0,
            prepare=functools.partial(_contest, count),
        )
        for count in (200, 1000)
    ]


def _contest(count: int) -> Contest:
    problem = default_study.problem(_SYSTEMS)
    settings = DescentSettings(
        debias=False, model_samples=_SYSTEMS, directions=count, iterations=_ITERATIONS
    )
    p = start(default_study.model(), problem)

    def ours() -> None:
        state = begin(p[: problem.d_alpha], p[problem.d_alpha :], settings)
        for _ in range(_ITERATIONS):
            state, _ = step(state, problem, settings)

    def theirs() -> None:
        descent = Predecessor(problem, p, count, _ITERATIONS)
        for _ in range(_ITERATIONS):
            descent.iterate()

    return Contest(
        ours=ours,
        peer=theirs,
        ours_units=_ITERATIONS,
        peer_units=_ITERATIONS,
        tolerance=1e-6,
        difference=lambda *_: loss_difference(problem, settings, p),
    )


def loss_difference(problem: Problem, settings: DescentSettings, p: np.ndarray) -> float:
    """Return how far loss and gradient of both differ for the same draws and directions.

    The iterations themselves draw different numbers; what is compared is the first step's.
    """
    state = begin(p[: problem.d_alpha], p[problem.d_alpha :], settings)
    _, info = step(state, problem, settings)
    rng = generator(problem.seed, f"{problem.stage}/draws", 0)
    omega, e = (
        torch.from_numpy(rng.standard_normal((settings.model_samples, width)))
        for width in (problem.law.d_omega, problem.noise.d_y)
    )
    rng = generator(problem.seed, f"{problem.stage}/directions", 0)
    theta = torch.from_numpy(directions(rng, settings.directions, problem.noise.d_y))
    other = Predecessor(problem, p, settings.directions, 1)
    loss = other.loss(omega, e, theta)
    (gradient,) = torch.autograd.grad(loss, other.p)
    return max(
        abs(info["loss"] / loss.item() - 1), largest_difference(info["gradient"], gradient.numpy())
    )
