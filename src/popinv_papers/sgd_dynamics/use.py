"""The use on a study: its descent from many starts, and what lies between their ends."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from popinv.inference.build import descent_problem
from popinv.inference.fit_distance import starts_near
from popinv.inference.result import estimate_of, parameter_names
from popinv.methods.outcome import Outcome, StudyInput
from popinv.methods.restarts.descents import descent_end, same_descent
from popinv.surrogate.artefact import surrogate_of
from popinv_papers.sgd_dynamics.figures import draw_slices
from popinv_papers.sgd_dynamics.study import explore, result_dataset


def use(study: StudyInput) -> Outcome:
    """Tell whether another start finds a better answer, and how often."""
    asked, stores = study.asked, study.stores
    surrogate = surrogate_of(stores["surrogate"])
    problem = descent_problem(
        study.model, stores["observations"], surrogate, study.seed, "sgd_dynamics"
    )
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
