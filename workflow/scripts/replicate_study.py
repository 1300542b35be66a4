"""Draw data sets of the study's size from a truth, and estimate each as the study does."""

from popinv.workflow.script import stage
from popinv.evidence.stages.replicate_study import replicate_study

with stage(snakemake) as job:
    first, replications = job.params.replications
    results = replicate_study(
        job.model,
        **job.settings("descent", "polish", "estimator"),
        **job.inputs,
        seed=job.seed,
        first=first,
        replications=replications,
        through=job.params.through,
        seconds_per_solve=job.params.seconds_per_solve,
    )
    job.save("replications", results, through=job.params.through)
