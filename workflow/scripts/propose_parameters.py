"""Propose parameters to solve: broadly at first, then from the current estimate."""

from popinv.population.stages.propose_parameters import propose_parameters
from popinv.workflow.stage import stage

with stage(snakemake) as job:
    counts = {"samples": job.params.samples, "candidates": job.params.candidates}
    proposals = propose_parameters(
        **job.study, **job.inputs, seed=job.seed, round_name=job.wildcards.round, **counts
    )
    job.save("proposals", proposals, **counts)
