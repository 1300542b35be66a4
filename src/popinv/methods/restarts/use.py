"""The use on a study: whether another start of its descent finds a better answer."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from popinv.charts.description import (
    Axis,
    Grid,
    Legend,
    Mark,
    Panel,
    Points,
    Reference,
    Sheet,
)
from popinv.charts.style import LIGHT, MODEL, SYSTEMS
from popinv.inference.answer.result import estimate_of, parameter_names
from popinv.inference.density.build import descent_problem
from popinv.inference.estimators.fit_distance import starts_near
from popinv.methods.outcome import Outcome, StudyInput
from popinv.methods.restarts.descents import Descents, descent_end, descents_from, same_descent
from popinv.surrogate.artefact import surrogate_of


def use(study: StudyInput) -> Outcome:
    """Report whether another start finds a better answer, and how often."""
    asked, stores = study.asked, study.stores
    surrogate = surrogate_of(stores["surrogate"])
    problem = descent_problem(
        study.model, stores["observations"], surrogate, study.seed, "restarts"
    )
    descent = stores["descent"]
    answer = descent_end(descent)
    errors = np.sqrt(np.diag(descent["sampling_covariance"].values))
    estimate = estimate_of(stores["estimate"])
    invariant = same_descent(problem, study.descent, estimate, answer, errors)
    # The study's own restarts come first, then further restarts of the same kind.
    starts = starts_near(replace(problem, stage="descent"), estimate, asked.starts + 1)[1:]
    errors = np.where(problem.free, errors, 0.0)
    made = descents_from(problem, study.descent, answer, errors, starts, asked.draws, asked.apart)
    metrics = made.found.metrics(made.farthest) | {"legs_most": int(made.legs.max())}
    print(metrics["statement"])
    return Outcome(
        metrics=metrics,
        figures={"ends": draw_ends(made)},
        result=made.dataset(starts, parameter_names(problem)),
        invariants=[invariant],
    )


def draw_ends(made: Descents) -> Sheet:
    """Return the loss at each end minus the loss at the answer, with its error."""
    excess = made.losses[1:] - made.losses[0]
    mean = excess.mean(axis=1)
    error = excess.std(axis=1, ddof=1) / np.sqrt(excess.shape[1])
    groups = made.found.groups[1:]
    marks: list[Mark] = [Reference(0, width=1, colour=LIGHT)]
    for number in np.unique(groups[groups >= 0]):
        rows = groups == number
        look: dict[str, Any] = {"label": f"answer {number}" if number else "the answer"}
        look["colour"] = SYSTEMS[1 + (number - 1) % (len(SYSTEMS) - 1)] if number else MODEL
        ends: dict[str, Any] = {"low": (mean - 2 * error)[rows], "high": (mean + 2 * error)[rows]}
        marks.append(Points(made.distances[1:][rows], mean[rows], **ends, **look))
    x = Axis("distance from the answer, in standard errors")
    y = Axis("loss above the answer's loss (2 standard errors)")
    panel = Panel(x, y, marks, legend=Legend())
    return Sheet("Ends of the descent from other starts", 8, 4.8, Grid([panel]))
