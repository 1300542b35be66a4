"""Propose parameters to solve: broadly at first, then from the current estimate."""

from functools import partial

from popinv.workflow.script import stage
from popinv.population.stages.propose_parameters import propose_parameters

with stage(snakemake) as job:
    inputs, choose = dict(job.inputs), None
    surrogate = inputs.pop("previous_surrogate", None)
    if surrogate is not None:
        # Plain draws need no surrogate.
        from popinv.surrogate.gaussian_process.acquisition import chosen_rows

        choose = partial(chosen_rows, surrogate)
    counts = {"samples": job.params.samples, "candidates": job.params.candidates}
    proposals = propose_parameters(
        **job.study,
        **inputs,
        seed=job.seed,
        round_name=job.wildcards.round,
        choose=choose,
        **counts,
    )
    job.save("proposals", proposals, **counts)
