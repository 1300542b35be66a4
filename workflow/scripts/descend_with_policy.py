"""The study's descent with another policy of the gradient."""

from dataclasses import replace

from popinv import storage
from popinv.checkpoints import Checkpoint
from popinv.inference.build import descent_problem, descent_settings
from popinv.inference.fit_distance import fit_distance, starts_near
from popinv.inference.result import estimate_dataset, estimate_of
from popinv.job import job
from popinv.surrogate.artefact import surrogate_of

with job(snakemake):
    given, policy = snakemake.params, snakemake.wildcards.policy
    study = {key: given[key] for key in ("forward", "law", "noise")}
    observations = storage.load(snakemake.input.observations)
    fitted = storage.load(snakemake.input.surrogate)
    estimate = storage.load(snakemake.input.estimate)
    # The stage of the study's own descent: its random numbers and its start are the same.
    surrogate = surrogate_of(fitted, snakemake.config["device"])
    problem = descent_problem(study, observations, surrogate, given.seed, "descent")
    config = {**study, "descent": {**given.descent, "policy": policy}}
    checkpoint = Checkpoint.of_job(snakemake, config, (observations, fitted, estimate))
    settings = replace(descent_settings(given.descent), policy=policy)
    starts = starts_near(problem, estimate_of(estimate), given.descent["restarts"])
    found = fit_distance(problem, settings, starts, checkpoint, policy)
    storage.save(
        estimate_dataset(problem, found.estimate),
        snakemake.output.answer,
        config=config,
        seed=given.seed,
        created_by=snakemake.rule,
    )
    checkpoint.clear()
