"""Sample the joint posterior of law, noise and some of the systems."""

from popinv.workflow.script import stage
from popinv.baselines.stages.sample_hierarchical import sample_hierarchical

with stage(snakemake) as job:
    job.save("answer", sample_hierarchical(job.model, **job.inputs, seed=job.seed))
