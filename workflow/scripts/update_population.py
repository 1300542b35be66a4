"""Estimate the population through the round's surrogate, for the next round's solves."""

from popinv.workflow.script import stage
from popinv.inference.stages.update_population import update_population

with stage(snakemake, streams=True) as job:
    number = int(job.wildcards.round)
    estimate = update_population(
        job.model, **job.inputs, seed=job.seed, round_number=number, device=job.device
    )
    job.save("estimate", estimate)
