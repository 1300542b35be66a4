"""Refit the answer without the systems that it is tested on."""

from popinv.workflow.script import stage
from popinv.evidence.stages.refit_without_tested import refit_without_tested

with stage(snakemake) as job:
    refitted = refit_without_tested(
        job.model,
        **job.settings("descent", "polish"),
        **job.inputs,
        seed=job.seed,
        device=job.device,
    )
    job.save("without_tested", refitted)
