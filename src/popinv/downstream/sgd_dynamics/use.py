"""The use on a study: critical points of its descent along lines, and runs from them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from popinv.downstream.outcome import Outcome, StudyInput
from popinv.downstream.sgd_dynamics.figures import draw_slices
from popinv.downstream.sgd_dynamics.study import lines, probe, result_dataset
from popinv.inference.build import descent_problem
from popinv.inference.fit_distance import starts_near
from popinv.inference.result import estimate_of, parameters_of
from popinv.surrogate.artefact import surrogate_of

__all__ = ["use"]


def use(study: StudyInput) -> Outcome:
    """Look for critical points along two lines, and run the descent at them."""
    asked, stores = study.asked, study.stores
    surrogate = surrogate_of(stores["surrogate"])
    problem = descent_problem(
        study.model, stores["observations"], surrogate, study.seed, "sgd_dynamics"
    )
    solution = parameters_of(stores["descent"])
    estimate = estimate_of(stores["estimate"])
    # The study's own first restart, drawn as the descent draws it.
    restart = problem.split(starts_near(replace(problem, stage="descent"), estimate, 2)[1])
    batch = min(asked.batch_size, len(problem.data))
    settings = study.descent.replace(batch_size=batch, model_samples=batch)
    slices = {}
    metrics: dict[str, Any] = {}
    for name, (origin, direction) in lines(problem, settings, solution, restart).items():
        slices[name], numbers = probe(problem, settings, origin, direction, asked)
        metrics |= {f"{name}_{key}": value for key, value in numbers.items()}
        print(f"{name}: {numbers['statement']}")
    return Outcome(
        metrics=metrics, figures={"slices": draw_slices(slices)}, result=result_dataset(slices)
    )
