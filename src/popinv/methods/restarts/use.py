"""The use on a study: whether another start of its descent finds a better answer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from popinv.inference.build import descent_problem
from popinv.inference.fit_distance import starts_near
from popinv.inference.result import estimate_of, parameter_names
from popinv.methods.outcome import Outcome, StudyInput
from popinv.methods.restarts.descents import descent_end, descents_from, same_descent
from popinv.methods.restarts.figures import draw_ends
from popinv.surrogate.artefact import surrogate_of


def use(study: StudyInput) -> Outcome:
    """Tell whether another start finds a better answer, and how often."""
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
    # The study's own restarts come first, and more of the same.
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
