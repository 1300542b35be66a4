"""The coupled descent on law and noise."""

from popinv.workflow.script import stage
from popinv.inference.stages.deconvolve import deconvolve

with stage(snakemake, streams=True) as job:
    model, descent, checkpoint = job.model, job.study["descent"], job.checkpoint()
    answer = deconvolve(
        model, descent, **job.inputs, seed=job.seed, device=job.device, checkpoint=checkpoint
    )
    job.save("descent", answer)
    checkpoint.clear()
