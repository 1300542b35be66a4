"""Train the surrogate on all solves so far, from its last weights."""

from popinv.workflow.script import stage
from popinv.surrogate.stages.train_surrogate import train_surrogate

with stage(snakemake) as job:
    decay = job.params.recency_decay
    checkpoint = job.checkpoint(recency_decay=decay)
    surrogate = train_surrogate(
        **job.study,
        **job.inputs,
        seed=job.seed,
        round_number=int(job.wildcards.round),
        recency_decay=decay,
        device=job.device,
        checkpoint=checkpoint,
    )
    job.save("surrogate", surrogate, recency_decay=decay)
    checkpoint.clear()
