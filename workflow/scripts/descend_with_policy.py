"""The study's descent with another policy of the gradient."""

from dataclasses import replace
from pathlib import Path

from popinv import storage
from popinv.checkpoints import Checkpoint
from popinv.inference.build import descent_problem, descent_settings
from popinv.inference.restarts import descend, starts_near
from popinv.inference.result import estimate_dataset, parameters_of
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
    hashes = [d.attrs["content_sha256"] for d in (observations, fitted, estimate)]
    checkpoint = Checkpoint(
        Path(given.checkpoint),
        {**config, "inputs": hashes, "seed": given.seed, "code": given.code},
        snakemake.config["checkpoint_seconds"],
    )
    settings = replace(descent_settings(given.descent), policy=policy)
    starts = starts_near(problem, parameters_of(estimate), given.descent["restarts"])
    result = descend(problem, settings, starts, checkpoint, description=policy)
    storage.save(
        estimate_dataset(problem, result),
        snakemake.output.answer,
        config=config,
        seed=given.seed,
        created_by=snakemake.rule,
    )
    checkpoint.clear()
