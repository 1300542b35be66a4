"""The use on a study: particles that serve a group of its systems at once."""

from __future__ import annotations

from popinv.downstream.mwgrad.figures import draw_group
from popinv.downstream.mwgrad.study import serve_group
from popinv.downstream.outcome import Outcome, StudyInput
from popinv.inference.build import descent_problem
from popinv.inference.result import parameters_of
from popinv.surrogate.artefact import surrogate_of
from popinv.threads import fixed_threads

__all__ = ["use"]


def use(study: StudyInput) -> Outcome:
    """Move the particles with weights of least norm and with equal ones."""
    asked, stores = study.asked, study.stores
    surrogate = surrogate_of(stores["surrogate"])
    problem = descent_problem(study.model, stores["observations"], surrogate, study.seed, "mwgrad")
    estimate = parameters_of(stores["population"])
    names = [parameter.name for parameter in study.forward.parameters()]
    with fixed_threads():
        result, metrics = serve_group(
            problem, estimate, asked.systems, asked.particles, asked.iterations, asked.rate, names
        )
    return Outcome(metrics=metrics, figures={"group": draw_group(result)}, result=result)
