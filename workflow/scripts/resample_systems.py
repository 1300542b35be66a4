"""Repeat the estimate on resampled systems, for confidence intervals."""

from popinv.workflow.script import stage
from popinv.inference.stages.resample_systems import resample_systems

with stage(snakemake, streams=True) as job:
    count = job.params.resamples
    resamples = resample_systems(
        job.model,
        **job.settings("descent", "polish", "estimator"),
        **job.inputs,
        seed=job.seed,
        resamples=count,
        device=job.device,
    )
    job.save("resamples", resamples, resamples=count)
