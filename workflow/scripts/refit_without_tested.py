"""Refit the answer without the systems that it is tested on."""

from popinv.inference.stages.refit_without_tested import refit_without_tested
from popinv.workflow.stage import stage

with stage(snakemake) as job:
    refitted = refit_without_tested(
        job.model,
        **job.settings("descent", "polish"),
        **job.inputs,
        seed=job.seed,
        device=job.device,
    )
    job.save("without_tested", refitted)
