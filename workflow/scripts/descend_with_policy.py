"""The study's descent with another policy of the gradient."""

from popinv.workflow.script import stage
from popinv.inference.stages.descend_with_policy import descend_with_policy

with stage(snakemake, streams=True) as job:
    model, descent, checkpoint = job.model, job.study["descent"], job.checkpoint()
    answer = descend_with_policy(
        model, descent, **job.inputs, seed=job.seed, device=job.device, checkpoint=checkpoint
    )
    job.save("answer", answer)
    checkpoint.clear()
