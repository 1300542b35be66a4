"""Whether another start of a study's descent finds a better answer, and how often."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from popinv.downstream.invariants import Invariant, held
from popinv.downstream.sgd_dynamics.outlook import Outlook, outlook, share_with_interval
from popinv.downstream.sgd_dynamics.restarts import all_rates, descend, fixed_losses
from popinv.downstream.sgd_dynamics.slices import (
    Slice,
    crossing_probability,
    line_slope,
    slice_of,
)
from popinv.inference.fit_distance import fit_distance, starts_near
from popinv.inference.problem import Problem
from popinv.inference.result import estimate_of
from popinv.inference.settings import DescentSettings
from popinv.store.variables import variable
from popinv.threads import fixed_threads

if TYPE_CHECKING:
    from popinv.downstream.sgd_dynamics.section import SgdDynamics

__all__ = ["Answer", "descent_end", "explore", "result_dataset", "same_descent"]

# A line reaches beyond both ends by this share of its length.
_BEYOND = 0.25
# Other answers that are joined to the study's by a line.
_MOST_LINES = 3
# Distance of two ends of the same descent, in standard errors, that rounding may leave.
_SAME = 1e-6


@dataclass(frozen=True)
class Answer:
    """What was found from many starts.

    Attributes
    ----------
    starts, ends : ndarray of shape (n, n_p), (n + 1, n_p)
        The ends begin with the study's answer.
    losses : ndarray of shape (n + 1, draws)
    found : Outlook
    slices : mapping of str to Slice
        Lines from the answer at 0 to other answers, or to the farthest start, at 1.
    metrics : dict
    """

    starts: np.ndarray
    ends: np.ndarray
    losses: np.ndarray
    found: Outlook
    slices: Mapping[str, Slice]
    metrics: dict[str, Any]


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

    Parameters
    ----------
    problem : Problem
    settings : DescentSettings
        The study's own.
    estimate : ndarray of shape (n_p,)
        Where the study's descent has started.
    answer, errors : ndarray of shape (n_p,)
        Where it has ended, and its standard errors.
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


def explore(
    problem: Problem,
    settings: DescentSettings,
    answer: np.ndarray,
    errors: np.ndarray,
    starts: Sequence[np.ndarray],
    asked: SgdDynamics,
) -> Answer:
    """Descend from many starts, group the ends, and look at what lies between them.

    Parameters
    ----------
    problem : Problem
    settings : DescentSettings
        The study's own.
    answer, errors : ndarray of shape (n_p,)
        The end of the study's descent, and its standard errors.
    starts : sequence of ndarray of shape (n_p,)
    asked : SgdDynamics
    """
    reached, legs = descend(problem, settings, starts, "start")
    ends = np.vstack([answer, reached])
    losses = fixed_losses(problem, settings, ends, asked.draws)
    errors = np.where(problem.free, errors, 0.0)
    found = outlook(ends, losses, errors, asked.apart)
    counts = errors > 0
    distances = np.abs(ends - answer)[:, counts] / errors[counts]
    farthest = float(distances[found.groups == 0].max(initial=0.0))
    metrics = found.metrics(farthest) | {"legs_most": int(legs.max())}
    others = list(found.best_members[1 : _MOST_LINES + 1])
    if others:
        targets = {f"answer_{number}": ends[row] for number, row in enumerate(others, 1)}
    else:
        far = max(starts, key=lambda p: float((np.abs(p - answer)[counts] / errors[counts]).max()))
        targets = {"start": far}
    slices = {
        name: _line(problem, settings, answer, target, asked) for name, target in targets.items()
    }
    for name, profile in slices.items():
        metrics |= _barrier_metrics(name, profile, settings, max(1, int(legs.max())))
    if others and asked.changes:
        metrics |= _changes(problem, settings, ends, found, errors, asked)
    return Answer(np.array(starts), ends, losses, found, slices, metrics)


def _line(
    problem: Problem,
    settings: DescentSettings,
    origin: np.ndarray,
    target: np.ndarray,
    asked: SgdDynamics,
) -> Slice:
    slope = line_slope(problem, settings, origin, target - origin)
    places = np.linspace(-_BEYOND, 1 + _BEYOND, asked.places)
    with fixed_threads():
        return slice_of(slope, places, asked.draws, asked.noise_draws)


def _barrier_metrics(
    name: str, profile: Slice, settings: DescentSettings, legs: int
) -> dict[str, Any]:
    """Return what lies between the answer and the other end of a line."""
    maxima = [point for point in profile.points if point.is_maximum and 0 < point.place < 1]
    numbers: dict[str, Any] = {f"{name}_maxima": len(maxima)}
    if profile.barrier is None:
        return numbers
    bottom, top = profile.barrier
    numbers |= {
        f"{name}_barrier": profile.between(bottom.place, top.place, profile.slope),
        f"{name}_barrier_place": top.place,
        f"{name}_noise_deviation": top.deviation,
        f"{name}_tail_index": top.tail_index,
        f"{name}_tail_index_error": top.tail_index_error,
    }
    if settings.optimiser == "gauss_newton":
        # Adam's step does not grow with the gradient, so that the formula says nothing of it.
        crossing = crossing_probability(profile, all_rates(settings, legs))
        numbers[f"{name}_crossing_probability"] = crossing
    return numbers


def _changes(
    problem: Problem,
    settings: DescentSettings,
    ends: np.ndarray,
    found: Outlook,
    errors: np.ndarray,
    asked: SgdDynamics,
) -> dict[str, Any]:
    """Run the descent anew from the answer, and count how often it ends elsewhere."""
    again, _ = descend(problem, settings, [ends[0]] * asked.changes, "again")
    joined = np.vstack([ends, again])
    groups = outlook(joined, np.zeros((len(joined), 2)), errors, asked.apart).groups
    left = int((groups[len(ends) :] != groups[0]).sum())
    share, low, high = share_with_interval(left, asked.changes)
    return {"changes": share, "changes_low": low, "changes_high": high}


def result_dataset(problem: Problem, answer: Answer, names: Sequence[str]) -> xr.Dataset:
    """Return starts, ends and losses, and the slices along ``line`` and ``place``."""
    dims, of_end = ("line", "place"), ("end_of", "estimated")
    slices = answer.slices
    some = next(iter(slices.values()))
    return xr.Dataset(
        {
            "start": variable(("start_of", "estimated"), answer.starts, "start, unconstrained"),
            "end": variable(of_end, answer.ends, "end, unconstrained; the answer comes first"),
            "group": variable("end_of", answer.found.groups, "group of the end; -1 if diverged"),
            "fixed_loss": variable(
                ("end_of", "draw"), answer.losses, "loss in the fixed metric, by draws"
            ),
            "slope": variable(dims, [s.slope for s in slices.values()], "mean slope of the loss"),
            "slope_error": variable(
                dims, [s.error for s in slices.values()], "standard error of the mean slope"
            ),
            "deviation": variable(
                dims, [s.deviation for s in slices.values()], "deviation of the gradient noise"
            ),
            "height": variable(dims, [s.height for s in slices.values()], "integral of the slope"),
        },
        coords={
            "estimated": variable(
                "estimated", np.array(names, dtype=np.str_), "law or noise, unconstrained"
            ),
            "line": variable("line", np.array(list(slices), dtype=np.str_), "line"),
            "place": variable("place", some.places, "place on the line, 0 at the answer"),
        },
    )
