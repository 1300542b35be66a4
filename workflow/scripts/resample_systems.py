"""Repeat the descent on resampled systems, for confidence intervals."""

from popinv import storage
from popinv.inference.build import descent_problem, descent_settings
from popinv.inference.resampling import bootstrap
from popinv.inference.result import parameters_of, resamples_dataset
from popinv.job import job
from popinv.surrogate.artefact import surrogate_of

with job(snakemake):
    given = snakemake.params
    study = {key: given[key] for key in ("forward", "law", "noise")}
    observations = storage.load(snakemake.input.observations)
    surrogate = surrogate_of(storage.load(snakemake.input.surrogate), snakemake.config["device"])
    problem = descent_problem(study, observations, surrogate, given.seed, "bootstrap")
    alpha, gamma = parameters_of(storage.load(snakemake.input.descent))
    settings = descent_settings(given.descent)
    answers = bootstrap(problem, settings, alpha, gamma, given.resamples)
    storage.save(
        resamples_dataset(problem, answers),
        snakemake.output.resamples,
        config={**study, "descent": given.descent, "resamples": given.resamples},
        seed=given.seed,
        created_by=snakemake.rule,
    )
