"""The use on a study: the posterior of every observed system, sampled through the surrogate."""

from __future__ import annotations

from popinv.downstream.outcome import Outcome, StudyInput
from popinv.downstream.posterior.figures import draw_calibration, draw_systems
from popinv.downstream.posterior.study import coverage_metrics, posterior_dataset, sample_posteriors
from popinv.inference.build import descent_problem
from popinv.inference.result import parameters_of
from popinv.population.synthetic import parameters
from popinv.surrogate.artefact import surrogate_of
from popinv.threads import fixed_threads

__all__ = ["use"]

# Number of draws of the recovered law, with which the posteriors are compared.
_POPULATION = 2000


def use(study: StudyInput) -> Outcome:
    """Sample the parameters of every system, and report whether their intervals hold the truth."""
    asked, stores, seed = study.asked, study.stores, study.seed
    surrogate = surrogate_of(stores["surrogate"])
    problem = descent_problem(study.model, stores["observations"], surrogate, seed, "posterior")
    estimate = parameters_of(stores["population"])
    with fixed_threads():
        posteriors = sample_posteriors(
            problem, estimate, asked.chains, asked.warmup, asked.draws, asked.thin
        )
    truth = None
    if "truth" in stores:
        truth = stores["truth"]["z"].values[: len(problem.data)]
    described = study.forward.parameters()
    names, units = [p.name for p in described], [p.units for p in described]
    result = posterior_dataset(posteriors, names, asked.kept_draws, units, truth)
    population = parameters(problem.law, estimate[0], seed, "posterior/population", _POPULATION)
    return Outcome(
        metrics={
            **coverage_metrics(result, population),
            "surrogate_calls": posteriors.evaluations,
        },
        figures={
            "systems": draw_systems(result, population, truth),
            "calibration": draw_calibration(result, population),
        },
        result=result,
    )
