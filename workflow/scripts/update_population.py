"""Estimate the population through the round's surrogate, for the next round's solves."""

from popinv.inference.stages.update_population import update_population
from popinv.workflow.stage import stage

with stage(snakemake, streams=True) as job:
    number = int(job.wildcards.round)
    estimate = update_population(
        job.model, **job.inputs, seed=job.seed, round_number=number, device=job.device
    )
    job.save("estimate", estimate)
