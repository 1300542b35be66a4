"""A whole round: solve, train the surrogate, and estimate the population through it."""

from popinv.workflow.script import stage
from popinv.inference.stages.solve_round import solve_round
from popinv.inference.stages.update_population import update_population
from popinv.surrogate.collect import Thresholds
from popinv.surrogate.stages.train_surrogate import train_surrogate

with stage(snakemake, streams=True) as job:
    asked, inputs = job.params, dict(job.inputs)
    observations = inputs.pop("observations")
    last = {
        name: inputs[name] for name in ("previous_surrogate", "previous_estimate") if name in inputs
    }
    address = {"seed": job.seed, "round_number": int(job.wildcards.round)}

    counts = {"samples": asked.samples, "candidates": asked.candidates}
    solves = solve_round(
        **job.settings("forward", "law"),
        **inputs,
        **counts,
        observations=observations if asked.known else None,
        model=job.model if asked.thresholds else None,
        thresholds=Thresholds(**asked.thresholds) if asked.thresholds else None,
        failure_budget=asked.failure_budget,
        seed=job.seed,
        round_name=job.wildcards.round,
    )
    surrogate = train_surrogate(
        **job.settings("forward", "law", "surrogate"),
        **last,
        **address,
        solves=solves,
        recency_decay=asked.recency_decay,
        device=job.device,
    )
    estimate = update_population(
        job.model,
        observations,
        surrogate,
        last.get("previous_estimate"),
        **address,
        device=job.device,
    )
    solved_with = ("forward", "law", "noise") if asked.thresholds else ("forward", "law")
    job.save(
        "solves",
        solves,
        solved_with,
        **counts,
        failure_budget=asked.failure_budget,
        thresholds=asked.thresholds,
    )
    job.save(
        "surrogate", surrogate, ("forward", "law", "surrogate"), recency_decay=asked.recency_decay
    )
    job.save("estimate", estimate, ("forward", "law", "noise"))
