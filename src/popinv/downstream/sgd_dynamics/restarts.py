"""A study's descent from many starts, and the loss at their ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from popinv.errors import DivergenceError
from popinv.inference.descent import learning_rate, step
from popinv.inference.fit_distance import fit_distance
from popinv.inference.problem import Problem, begin
from popinv.inference.settings import DescentSettings
from popinv.threads import fixed_threads

__all__ = ["all_rates", "descend", "fixed_losses"]


def descend(
    problem: Problem, settings: DescentSettings, starts: Sequence[np.ndarray], name: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return where the study's descent ends from each start, and how many legs it took.

    Each start has draws of its own.

    Parameters
    ----------
    problem : Problem
    settings : DescentSettings
    starts : sequence of ndarray of shape (n_p,)
    name : str
        Address of the draws below the problem's stage.

    Returns
    -------
    ends : ndarray of shape (n, n_p)
        NaN for a descent that diverged.
    legs : ndarray of int, shape (n,)
        0 for such a one.
    """
    ends = np.full((len(starts), len(problem.free)), np.nan)
    legs = np.zeros(len(starts), dtype=int)
    for i, start in enumerate(starts):
        here = replace(problem, stage=f"{problem.stage}/{name}/{i}")
        words = f"{name} {i + 1} of {len(starts)}"
        try:
            fit = fit_distance(here, settings, [start], description=words)
        except DivergenceError:
            continue
        ends[i], legs[i] = fit.estimate.p, int(fit.estimate.diagnostics["legs"])
    return ends, legs


def fixed_losses(
    problem: Problem, settings: DescentSettings, points: np.ndarray, draws: int
) -> np.ndarray:
    """Return the loss in the fixed metric at points (n, n_p), shape (n, draws).

    All points share their draws. It is the loss by which a study's restarts are chosen. It is NaN
    at a point that is NaN.
    """
    settings = settings.replace(optimiser="adam", iterations=1)
    losses = np.full((len(points), draws), np.nan)
    with fixed_threads():
        for k in range(draws):
            here = replace(problem, stage=f"{problem.stage}/loss/{k}")
            for i, p in enumerate(points):
                if not np.isnan(p).any():
                    state, _ = step(begin(*problem.split(p), settings), here, settings)
                    losses[i, k] = state.fixed_loss[0]
    return losses


def all_rates(settings: DescentSettings, legs: int) -> np.ndarray:
    """Return the learning rate of every step of so many legs."""
    one = [learning_rate(settings, k) for k in range(settings.iterations)]
    return np.tile(one, legs)
