"""The use on a study: the posterior of every observed system, sampled through the surrogate."""

from __future__ import annotations

from functools import partial

import numpy as np

from popinv.inference.build import descent_problem
from popinv.inference.result import estimate_of
from popinv.methods.outcome import Outcome, StudyInput, write_table
from popinv.methods.posterior.density import Densities
from popinv.methods.posterior.figures import draw_calibration, draw_systems
from popinv.methods.posterior.sampling import sample_posteriors
from popinv.methods.posterior.study import (
    coverage_metrics,
    posterior_dataset,
    statement,
    systems_table,
    told_quantities,
    varying,
)
from popinv.methods.posterior.surprise import surprise_p_values
from popinv.population.synthetic import parameters
from popinv.store.variables import variable
from popinv.surrogate.artefact import surrogate_of
from popinv.threads import fixed_threads

# Number of draws of the recovered law, with which the posteriors are compared.
_POPULATION = 2000
# A p-value below this counts as a surprise.
SURPRISING = 0.01


def use(study: StudyInput) -> Outcome:
    """Sample the parameters of every system, and report whether their intervals hold the truth."""
    asked, stores, seed = study.asked, study.stores, study.seed
    surrogate, observations = surrogate_of(stores["surrogate"]), stores["observations"]
    problem = descent_problem(study.model, observations, surrogate, seed, "posterior")
    answer = stores["population"]
    p, laws = estimate_of(answer), None
    if asked.law_and_noise == "uncertain":
        drawn = [answer[f"{part}_draws"].values for part in ("alpha", "gamma")]
        laws = np.concatenate(drawn, axis=1)
    with fixed_threads():
        invariants = Densities.at(problem, p).invariants(problem, p)
        posteriors = sample_posteriors(
            problem, p, asked.chains, asked.effective, asked.most_moves, laws
        )
        surprise = surprise_p_values(problem, p, posteriors.least_misfit)
    count, truth = len(problem.data), None
    if "truth" in stores:
        truth = stores["truth"]["z"].values[:count]
    told = told_quantities(study.forward, study.law)
    result = posterior_dataset(posteriors, told, asked.kept_draws, truth)
    result["surprise_p_value"] = variable(
        "system", surprise, "share of the population's systems that are as far out"
    )
    if "system_id" in observations.coords:
        ids = observations["system_id"].values[:count]
        result = result.assign_coords(system_id=variable("system", ids, "name of the system"))
    population = told.of(
        parameters(problem.law, problem.split(p)[0], seed, "posterior/population", _POPULATION)
    )
    # Six digits are more than the draws determine.
    table = systems_table(result, list(told.units), varying(population))
    metrics = {
        **coverage_metrics(result, population, asked.effective),
        "law_and_noise": asked.law_and_noise,
        "surprising_systems": int((surprise < SURPRISING).sum()),
        "surprising_systems_expected": SURPRISING * count,
        "surrogate_calls": posteriors.evaluations,
    }
    metrics["statement"] = statement(metrics)
    print(metrics["statement"])
    return Outcome(
        metrics=metrics,
        figures={
            "systems": draw_systems(result, population, None if truth is None else told.of(truth)),
            "calibration": draw_calibration(result, population),
        },
        result=result,
        files={"systems.csv": partial(write_table, table)},
        invariants=invariants,
    )
