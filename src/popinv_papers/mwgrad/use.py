"""The use on a study: whether one set of parameters can serve a group of its systems."""

from __future__ import annotations

from popinv.inference.answer.result import parameters_of
from popinv.inference.density.build import descent_problem
from popinv.methods.groups.comparison import any_order, compare_group
from popinv.methods.groups.figures import draw_tests
from popinv.methods.outcome import Outcome, StudyInput
from popinv.surrogate.artefact import surrogate_of
from popinv.threads import fixed_threads
from popinv_papers.mwgrad.figures import draw_front, draw_group
from popinv_papers.mwgrad.study import same_system_twice, serve_group


def use(study: StudyInput) -> Outcome:
    """Test the group, and move particles that serve it."""
    asked, stores = study.asked, study.stores
    surrogate = surrogate_of(stores["surrogate"])
    problem = descent_problem(
        study.model, stores["observations"], surrogate, study.seed, "mwgrad"
    ).at_all_places
    estimate = parameters_of(stores["population"])
    names = [parameter.name for parameter in study.forward.parameters()]
    with fixed_threads():
        first = asked.systems[0]
        invariants = [
            any_order(problem, estimate, asked.systems),
            same_system_twice(problem, estimate, first, asked.particles, asked.rate),
        ]
        tested, of_tests = compare_group(problem, estimate, asked.systems, asked.simulated)
        served, of_particles = serve_group(
            problem, estimate, asked.systems, asked.particles, asked.iterations, asked.rate, names
        )
    result = served.merge(tested)
    return Outcome(
        metrics=of_tests | of_particles,
        figures={
            "tests": draw_tests(result),
            "group": draw_group(result),
            "front": draw_front(result),
        },
        result=result,
        invariants=invariants,
    )
