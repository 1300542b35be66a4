"""Fit each system separately, then pool the fits."""

from popinv.workflow.script import stage
from popinv.baselines.stages.fit_two_stage import fit_two_stage

with stage(snakemake) as job:
    job.save("answer", fit_two_stage(job.model, **job.inputs, seed=job.seed))
