"""All rounds: solve, train the surrogate, estimate the population, and check the last surrogate."""

from popinv.workflow.script import stage
from popinv.inference.stages.run_rounds import CHECK, run_rounds
from popinv.surrogate.collect import Thresholds

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
        thresholds=Thresholds(**asked.thresholds),
        failure_budget=asked.failure_budget,
        recency_decay=asked.recency_decay,
        device=job.device,
    )
    for number, made in enumerate(rounds):
        # The first round has no surrogate to judge, and the check does not choose its solves.
        first, chosen = number == 0, number > 0 and made.name != CHECK
        job.save(
            f"solves_{made.name}",
            made.solves,
            ("forward", "law") if first else ("forward", "law", "noise"),
            samples=asked.samples[made.name],
            candidates=asked.candidates if chosen else 0,
            failure_budget=asked.failure_budget,
            thresholds=None if first else asked.thresholds,
        )
        if made.name != CHECK:
            job.save(
                f"surrogate_{made.name}",
                made.surrogate,
                ("forward", "law", "surrogate"),
                recency_decay=asked.recency_decay,
            )
            job.save(f"estimate_{made.name}", made.estimate, ("forward", "law", "noise"))
