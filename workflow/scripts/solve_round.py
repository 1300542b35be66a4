"""Propose parameters, solve the forward model, and judge the last surrogate on these solves."""

from popinv.workflow.script import stage
from popinv.inference.stages.solve_round import solve_round
from popinv.surrogate.collect import Thresholds

with stage(snakemake) as job:
    budget, thresholds = job.params.failure_budget, job.params.thresholds
    counts = {"samples": job.params.samples, "candidates": job.params.candidates}
    solves = solve_round(
        **job.settings("forward", "law"),
        **job.inputs,
        **counts,
        model=job.model if thresholds else None,
        thresholds=Thresholds(**thresholds) if thresholds else None,
        failure_budget=budget,
        seed=job.seed,
        round_name=job.wildcards.round,
    )
    job.save("solves", solves, **counts, failure_budget=budget, thresholds=thresholds)
