"""A study's descent from many starts, and the loss at their ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import xarray as xr

from popinv.errors import DivergenceError
from popinv.inference.answer.result import estimate_of
from popinv.inference.density.problem import Problem, begin
from popinv.inference.estimators.descent import step
from popinv.inference.estimators.fit_distance import fit_distance, starts_near
from popinv.inference.estimators.settings import DescentSettings
from popinv.methods.invariants import Invariant, held
from popinv.methods.restarts.outlook import Outlook, outlook
from popinv.store.variables import variable
from popinv.threads import fixed_threads
from popinv.workers import parallel

# Largest distance of two ends of the same descent due to rounding, in standard errors.
_SAME = 1e-6


def descend(
    problem: Problem, settings: DescentSettings, starts: Sequence[np.ndarray], name: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return where the study's descent ends from each start (n, n_p), and how many legs it took.

    Each start has draws of its own, whose address is the name below the problem's stage. A descent
    that diverged has the end NaN and 0 legs.
    """

    def descended(i: int) -> tuple[np.ndarray, int]:
        here = replace(problem, stage=f"{problem.stage}/{name}/{i}")
        words = f"{name} {i + 1} of {len(starts)}"
        try:
            fit = fit_distance(here, settings, [starts[i]], description=words)
        except DivergenceError:
            return np.full(len(problem.free), np.nan), 0
        return fit.estimate.p, int(fit.estimate.diagnostics["legs"])

    found = list(parallel(descended, range(len(starts)), "descents", unit="descent", long=True))
    return np.array([end for end, _ in found]), np.array([legs for _, legs in found])


def fixed_losses(
    problem: Problem, settings: DescentSettings, points: np.ndarray, draws: int
) -> np.ndarray:
    """Return the loss in the fixed metric at points (n, n_p), shape (n, draws).

    All points share their draws. A study chooses among its restarts by this loss. The loss is NaN
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


def descent_end(descent: xr.Dataset) -> np.ndarray:
    """Return the end (n_p,) of a study's stored descent, without the surrogate's correction.

    A correction that was too large to be made has the covariance zero.
    """
    p = estimate_of(descent)
    if "correction" in descent and descent["correction_covariance"].values.any():
        return p - descent["correction"].values
    return p


def same_descent(
    problem: Problem,
    settings: DescentSettings,
    estimate: np.ndarray,
    answer: np.ndarray,
    errors: np.ndarray,
) -> Invariant:
    """Check that the descents of the study's own starts and draws end at its answer.

    The study's descent has started at the estimate (n_p,) and ended at the answer (n_p,), with
    these standard errors.
    """
    own = replace(problem, stage="descent")
    starts = starts_near(own, estimate, settings.restarts)
    end = fit_distance(own, settings, starts, description="the study's own descent").estimate.p
    known = problem.free & (errors > 0)
    return held(
        "same_start_and_draws",
        "the study's own starts and draws: distance of the end from its answer, in standard errors",
        float((np.abs(end - answer)[known] / errors[known]).max(initial=0.0)),
        _SAME,
    )


@dataclass(frozen=True)
class Descents:
    """Descents from n starts.

    The ends (n + 1, n_p) begin with the study's answer, and so do the losses (n + 1, draws). The
    distances (n + 1,) from the answer are the largest over the parameters, in standard errors.
    """

    ends: np.ndarray
    legs: np.ndarray
    losses: np.ndarray
    found: Outlook
    distances: np.ndarray

    @property
    def farthest(self) -> float:
        """The largest distance of an end that belongs to the answer's group."""
        return float(self.distances[self.found.groups == 0].max(initial=0.0))

    def dataset(self, starts: Sequence[np.ndarray], names: Sequence[str]) -> xr.Dataset:
        """Return starts and ends, with the groups and the losses of the ends."""
        of_end = ("end_of", "estimated")
        return xr.Dataset(
            {
                "start": variable(
                    ("start_of", "estimated"), np.array(starts), "start, unconstrained"
                ),
                "end": variable(of_end, self.ends, "end, unconstrained; the answer comes first"),
                "group": variable("end_of", self.found.groups, "group of the end; -1 if diverged"),
                "fixed_loss": variable(
                    ("end_of", "draw"), self.losses, "loss in the fixed metric, by draws"
                ),
            },
            coords={
                "estimated": variable(
                    "estimated", np.array(names, dtype=np.str_), "law or noise, unconstrained"
                )
            },
        )


def descents_from(
    problem: Problem,
    settings: DescentSettings,
    answer: np.ndarray,
    errors: np.ndarray,
    starts: Sequence[np.ndarray],
    draws: int,
    apart: float,
) -> Descents:
    """Descend from many starts, and group the ends, which differ by ``apart`` standard errors.

    The answer (n_p,) is the end of the study's descent; a standard error of zero does not count.
    ``draws`` is the number of draws of the loss at the ends.
    """
    reached, legs = descend(problem, settings, starts, "start")
    ends = np.vstack([answer, reached])
    losses = fixed_losses(problem, settings, ends, draws)
    found = outlook(ends, losses, errors, apart)
    counts = errors > 0
    distances = (np.abs(ends - answer)[:, counts] / errors[counts]).max(axis=1, initial=0.0)
    return Descents(ends, legs, losses, found, distances)
