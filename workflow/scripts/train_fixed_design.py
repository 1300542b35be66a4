"""Train a surrogate on solves of the broad design alone."""

from popinv.workflow.script import stage
from popinv.evidence.stages.train_fixed_design import train_fixed_design

with stage(snakemake) as job:
    calls = int(job.wildcards.solves)
    surrogate = train_fixed_design(**job.study, **job.inputs, seed=job.seed, solver_calls=calls)
    job.save("surrogate", surrogate)
