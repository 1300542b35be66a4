"""Whether another start of a study's descent finds a better answer, and how often."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from popinv.inference.descent import learning_rate
from popinv.inference.problem import Problem
from popinv.inference.settings import DescentSettings
from popinv.methods.restarts.descents import Descents, descend, descents_from
from popinv.methods.restarts.outlook import outlook, share_with_interval
from popinv.store.variables import variable
from popinv.threads import fixed_threads
from popinv_papers.sgd_dynamics.slices import (
    Slice,
    crossing_probability,
    line_slope,
    slice_of,
)

if TYPE_CHECKING:
    from popinv_papers.sgd_dynamics.section import SgdDynamics

# A line reaches beyond both ends by this share of its length.
_BEYOND = 0.25
# Other answers that are joined to the study's by a line.
_MOST_LINES = 3


@dataclass(frozen=True)
class Answer:
    """What was found from many starts.

    Attributes
    ----------
    starts : sequence of ndarray of shape (n_p,)
    slices : mapping of str to Slice
        Lines from the answer at 0 to other answers, or to the farthest start, at 1.
    """

    starts: Sequence[np.ndarray]
    descents: Descents
    slices: Mapping[str, Slice]
    metrics: dict[str, Any]


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
    settings : DescentSettings
        The study's own.
    answer, errors : ndarray of shape (n_p,)
        The end of the study's descent, and its standard errors.
    starts : sequence of ndarray of shape (n_p,)
    """
    errors = np.where(problem.free, errors, 0.0)
    made = descents_from(problem, settings, answer, errors, starts, asked.draws, asked.apart)
    ends, found, legs, counts = made.ends, made.found, made.legs, errors > 0
    metrics = found.metrics(made.farthest) | {"legs_most": int(legs.max())}
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
        metrics |= _changes(problem, settings, ends, errors, asked)
    return Answer(starts, made, slices, metrics)


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
        crossing = crossing_probability(profile, _all_rates(settings, legs))
        numbers[f"{name}_crossing_probability"] = crossing
    return numbers


def _changes(
    problem: Problem,
    settings: DescentSettings,
    ends: np.ndarray,
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


def result_dataset(answer: Answer, names: Sequence[str]) -> xr.Dataset:
    """Return starts, ends and losses, and the slices along ``line`` and ``place``."""
    dims, slices = ("line", "place"), answer.slices
    some = next(iter(slices.values()))
    lines = xr.Dataset(
        {
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
            "line": variable("line", np.array(list(slices), dtype=np.str_), "line"),
            "place": variable("place", some.places, "place on the line, 0 at the answer"),
        },
    )
    return answer.descents.dataset(answer.starts, names).merge(lines)


def _all_rates(settings: DescentSettings, legs: int) -> np.ndarray:
    """Return the learning rate of every step of so many legs."""
    one = [learning_rate(settings, k) for k in range(settings.iterations)]
    return np.tile(one, legs)
