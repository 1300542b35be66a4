"""All rounds: solve, train the surrogate, estimate the population, and check the last surrogate."""

from popinv.workflow.script import stage
from popinv.inference.stages.run_rounds import run_rounds

with stage(snakemake, streams=True) as job:
    asked = job.params
    rounds = run_rounds(
        job.model,
        job.study["surrogate"],
        job.inputs["observations"],
        seed=job.seed,
        samples=asked.samples,
        candidates=asked.candidates,
        known=asked.known,
        thresholds=asked.thresholds,
        failure_budget=asked.failure_budget,
        recency_decay=asked.recency_decay,
        device=job.device,
    )
    for made in rounds:
        job.save(
            f"solves_{made.name}",
            made.solves,
            ("forward", "law", "noise") if made.judged else ("forward", "law"),
            samples=asked.samples[made.name],
            candidates=made.candidates,
            failure_budget=asked.failure_budget,
            thresholds=asked.thresholds if made.judged else None,
        )
        if made.surrogate is not None:
            job.save(
                f"surrogate_{made.name}",
                made.surrogate,
                ("forward", "law", "surrogate"),
                recency_decay=asked.recency_decay,
            )
            job.save(f"estimate_{made.name}", made.estimate, ("forward", "law", "noise"))
