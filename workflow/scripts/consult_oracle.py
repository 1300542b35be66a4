"""The estimate of the study if the noise, or the law, is known."""

from popinv.workflow.script import stage
from popinv.inference.stages.consult_oracle import consult_oracle

with stage(snakemake, streams=True) as job:
    known, settings = job.wildcards.known, job.settings("descent", "polish", "estimator")
    oracle = consult_oracle(
        job.model,
        **settings,
        **job.inputs,
        known=known,
        seed=job.seed,
        device=job.device,
    )
    job.save("oracle", oracle, known=known)
