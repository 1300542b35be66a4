"""Pseudo-likelihood and likelihood of law and noise, after the descent."""

from popinv.workflow.script import stage
from popinv.inference.stages.maximise_likelihoods import maximise_likelihoods

with stage(snakemake, streams=True) as job:
    wanted = job.params.likelihood
    checkpoint = job.checkpoint(likelihood=wanted)
    estimates = maximise_likelihoods(
        job.model,
        job.study["polish"],
        **job.inputs,
        seed=job.seed,
        likelihood=wanted,
        seconds_per_solve=job.params.seconds_per_solve,
        device=job.device,
        checkpoint=checkpoint,
    )
    for output, estimate in zip(("pseudo_likelihood", "likelihood"), estimates, strict=True):
        job.save(output, estimate, likelihood=wanted)
    checkpoint.clear()
