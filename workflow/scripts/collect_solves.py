"""Gather a round's chunks, count failures, and judge the last surrogate on the fresh solves."""

from popinv.workflow.script import stage
from popinv.inference.stages.collect_solves import collect_solves
from popinv.sections.base import plain
from popinv.surrogate.collect import Thresholds

with stage(snakemake, streams=True) as job:
    budget, thresholds = job.params.failure_budget, job.params.thresholds
    solves = collect_solves(
        **job.inputs,
        model=job.model if job.study else None,
        seed=job.seed,
        round_name=job.wildcards.round,
        failure_budget=budget,
        solver=plain(job.params.solver),
        thresholds=Thresholds(**thresholds) if thresholds else None,
    )
    job.save("solves", solves, failure_budget=budget, thresholds=thresholds)
