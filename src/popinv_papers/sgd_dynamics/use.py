"""The use on a study: whether another start of its descent finds a better answer, and how often.

Lines between the ends show what lies between them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from popinv.inference.answer.result import estimate_of, parameter_names
from popinv.inference.density.build import descent_problem
from popinv.inference.density.problem import Problem
from popinv.inference.estimators.descent import learning_rate
from popinv.inference.estimators.fit_distance import starts_near
from popinv.inference.estimators.settings import DescentSettings
from popinv.methods.outcome import Outcome, StudyInput
from popinv.methods.restarts.descents import (
    Descents,
    descend,
    descent_end,
    descents_from,
    same_descent,
)
from popinv.methods.restarts.outlook import outlook, share_with_interval
from popinv.store.variables import variable
from popinv.surrogate.artefact import surrogate_of
from popinv.threads import fixed_threads
from popinv_papers.sgd_dynamics.figures import draw_slices
from popinv_papers.sgd_dynamics.slices import Slice, crossing_probability, line_slope, slice_of

if TYPE_CHECKING:
    from popinv_papers.sgd_dynamics.method import SgdDynamics

# A line reaches beyond both ends by this share of its length.
_BEYOND = 0.25
# Other answers that are joined to the study's by a line.
_MOST_LINES = 3


@dataclass(frozen=True)
class ManyStarts:
    """What was found from many starts, each of shape (n_p,).

    ``slices`` are lines from the answer at 0 to other answers, or to the farthest start, at 1.
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
) -> ManyStarts:
    """Descend from many starts, group the ends, and look at what lies between them.

    ``answer`` and ``errors`` (n_p,) are the end of the study's descent, of which the settings are,
    and its standard errors.
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
    return ManyStarts(starts, made, slices, metrics)


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


def result_dataset(answer: ManyStarts, names: Sequence[str]) -> xr.Dataset:
    """Return starts, ends and losses, and the slices along ``line`` and ``place``."""
    dims, slices = ("line", "place"), answer.slices
    some = next(iter(slices.values()))
    lines = xr.Dataset(
        {
            name: variable(dims, [getattr(s, part) for s in slices.values()], words)
            for name, part, words in (
                ("slope", "slope", "mean slope of the loss"),
                ("slope_error", "error", "standard error of the mean slope"),
                ("deviation", "deviation", "deviation of the gradient noise"),
                ("height", "height", "integral of the slope"),
            )
        },
        coords={
            "line": variable("line", list(slices), "line"),
            "place": variable("place", some.places, "place on the line, 0 at the answer"),
        },
    )
    return answer.descents.dataset(answer.starts, names).merge(lines)


def _all_rates(settings: DescentSettings, legs: int) -> np.ndarray:
    """Return the learning rate of every step of ``legs`` legs."""
    one = [learning_rate(settings, k) for k in range(settings.iterations)]
    return np.tile(one, legs)


def use(study: StudyInput) -> Outcome:
    """Tell whether another start finds a better answer, and how often."""
    asked, stores = study.asked, study.stores
    surrogate = surrogate_of(stores["surrogate"])
    problem = descent_problem(
        study.model, stores["observations"], surrogate, study.seed, "sgd_dynamics"
    ).at_all_places
    descent = stores["descent"]
    answer = descent_end(descent)
    errors = np.sqrt(np.diag(descent["sampling_covariance"].values))
    estimate = estimate_of(stores["estimate"])
    invariant = same_descent(problem, study.descent, estimate, answer, errors)
    # The study's own restarts come first, and more of the same.
    drawn = starts_near(replace(problem, stage="descent"), estimate, asked.starts + 1)
    found = explore(problem, study.descent, answer, errors, drawn[1:], asked)
    print(found.metrics["statement"])
    return Outcome(
        metrics=found.metrics,
        figures={"slices": draw_slices(found.slices)},
        result=result_dataset(found, parameter_names(problem)),
        invariants=[invariant],
    )
