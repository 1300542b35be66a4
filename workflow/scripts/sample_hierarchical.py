"""Sample the joint posterior of law, noise and some of the systems."""

from popinv.inference.stages.sample_hierarchical import sample_hierarchical
from popinv.workflow.stage import stage

with stage(snakemake) as job:
    job.save("answer", sample_hierarchical(job.model, **job.inputs, seed=job.seed))
