"""Draw data sets of one size from the truth, and estimate from each."""

from dataclasses import replace

from popinv import storage
from popinv.evidence.convergence import errors_of_repeats
from popinv.evidence.populations import observe_again
from popinv.forward.build import observed
from popinv.inference.build import descent_problem, descent_settings
from popinv.inference.estimation import estimate_population
from popinv.inference.polish import PolishSettings
from popinv.inference.polished import fresh_solves
from popinv.inference.result import estimate_of
from popinv.job import job
from popinv.population.laws.build import law
from popinv.population.synthetic import parameters
from popinv.surrogate.artefact import surrogate_of

with job(snakemake):
    given, systems = snakemake.params, int(snakemake.wildcards.systems)
    study = {key: given[key] for key in ("forward", "law", "noise")}
    loaded = {name: storage.load(path) for name, path in snakemake.input.items()}
    truth, fresh = loaded["truth"], fresh_solves(loaded["check"])
    covariance = truth["noise_covariance"].values
    surrogate = surrogate_of(loaded["surrogate"])
    stage = f"systems_{systems}"
    if "solves" in loaded:
        clean = loaded["solves"]["y"].values
    else:
        model, total = law(given.law, given.forward), systems * given.repeats
        z = parameters(model, truth["alpha"].values, given.seed, stage, total)
        clean = surrogate.predict(z)
        # Data from the surrogate hold none of its error, and none is to be taken off.
        fresh = replace(fresh, y=surrogate.predict(fresh.z))
    what = observed(given.forward, given.seed)
    observations = observe_again(clean, covariance, what, given.seed, stage, given.noise_scale)
    problem = descent_problem(study, observations, surrogate, given.seed, f"evidence/{stage}")
    settings = PolishSettings(
        solver_seconds=0.0,
        draws=given.polish["draws"],
        likelihood=given.estimator in ("auto", "likelihood"),
    )
    descent, start = descent_settings(given.descent), estimate_of(loaded["population"])
    errors = errors_of_repeats(
        problem,
        lambda part: estimate_population(part, given.estimator, settings, descent, [start], fresh),
        truth["law"].values,
        covariance,
        given.repeats,
    )
    print(errors[["systems", "law_error", "noise_error"]].to_dataframe().to_string())
    storage.save(
        errors,
        snakemake.output.errors,
        config={**study, "estimator": given.estimator, "polish": given.polish},
        seed=given.seed,
        created_by=snakemake.rule,
    )
