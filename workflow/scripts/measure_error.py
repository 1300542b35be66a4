"""Draw data sets of one size from the truth, and estimate from each."""

from popinv.workflow.script import stage
from popinv.evidence.stages.measure_error import measure_error

with stage(snakemake) as job:
    errors = measure_error(
        job.model,
        **job.settings("descent", "polish", "estimator"),
        **job.inputs,
        stated=job.study["observations"],
        seed=job.seed,
        systems=int(job.wildcards.systems),
        repeats=job.params.repeats,
    )
    job.save("errors", errors)
