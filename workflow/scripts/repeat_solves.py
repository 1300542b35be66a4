"""Solve some systems repeatedly from other initial states, for the sampling error."""

from popinv.workflow.script import stage
from popinv.inference.stages.repeat_solves import repeat_solves

with stage(snakemake) as job:
    counts = {"repeats": job.params.repeats, "systems": job.params.systems}
    error = repeat_solves(**job.study, **job.inputs, seed=job.seed, **counts)
    job.save("sampling_error", error, **counts)
