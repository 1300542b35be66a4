"""The use on a study: whether a group of its systems may share their parameters."""

from __future__ import annotations

from popinv.inference.answer.result import parameters_of
from popinv.inference.density.build import descent_problem
from popinv.methods.groups.comparison import any_order, compare_group
from popinv.methods.groups.figures import draw_tests
from popinv.methods.outcome import Outcome, StudyInput
from popinv.surrogate.artefact import surrogate_of
from popinv.threads import fixed_threads


def use(study: StudyInput) -> Outcome:
    """Test the group as a whole, in pairs, and each of its systems against the rest."""
    asked, stores = study.asked, study.stores
    surrogate = surrogate_of(stores["surrogate"])
    problem = descent_problem(study.model, stores["observations"], surrogate, study.seed, "groups")
    estimate = parameters_of(stores["population"])
    with fixed_threads():
        invariant = any_order(problem, estimate, asked.systems)
        result, metrics = compare_group(problem, estimate, asked.systems, asked.simulated)
    print(metrics["statement"])
    return Outcome(
        metrics=metrics,
        figures={"tests": draw_tests(result)},
        result=result,
        invariants=[invariant],
    )
