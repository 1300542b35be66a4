"""Draw data sets of one size from the truth, and fit them."""

from popinv import storage
from popinv.evidence.convergence import errors_of_repeats, settings_of_size
from popinv.evidence.populations import observe_again
from popinv.forward.build import observed
from popinv.inference.build import descent_problem, descent_settings
from popinv.inference.result import parameters_of
from popinv.job import job
from popinv.population.laws.build import law
from popinv.population.synthetic import parameters
from popinv.surrogate.artefact import surrogate_of

with job(snakemake):
    given, systems = snakemake.params, int(snakemake.wildcards.systems)
    study = {key: given[key] for key in ("forward", "law", "noise")}
    truth = storage.load(snakemake.input.truth)
    covariance = truth["noise_covariance"].values
    surrogate = surrogate_of(storage.load(snakemake.input.surrogate))
    stage = f"systems_{systems}"
    solves = snakemake.input.get("solves")
    if solves is None:
        model, total = law(given.law, given.forward), systems * given.repeats
        z = parameters(model, truth["alpha"].values, given.seed, stage, total)
        clean = surrogate.predict(z)
    else:
        clean = storage.load(solves)["y"].values
    what = observed(given.forward, given.seed)
    observations = observe_again(clean, covariance, what, given.seed, stage, given.noise_scale)
    problem = descent_problem(study, observations, surrogate, given.seed, f"evidence/{stage}")
    settings = settings_of_size(
        descent_settings(given.descent), systems, given.study_systems, given.iterations
    )
    start = parameters_of(storage.load(snakemake.input.descent))
    errors = errors_of_repeats(
        problem, settings, start, truth["law"].values, covariance, given.repeats
    )
    print(errors[["systems", "law_error", "noise_error"]].to_dataframe().to_string())
    storage.save(
        errors,
        snakemake.output.errors,
        config={**study, "descent": given.descent, "iterations": given.iterations},
        seed=given.seed,
        created_by=snakemake.rule,
    )
