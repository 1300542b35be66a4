"""Propose parameters to solve: broadly at first, then from the current estimate."""

from popinv.population.stages.propose_parameters import propose_parameters
from popinv.workflow.stage import stage

with stage(snakemake) as job:
    samples = job.params.samples
    proposals = propose_parameters(
        **job.study, **job.inputs, seed=job.seed, round_name=job.wildcards.round, samples=samples
    )
    job.save("proposals", proposals, samples=samples)
