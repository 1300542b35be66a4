"""Score the tested systems under a study's model, for the comparison of models."""

from popinv.workflow.script import stage
from popinv.evidence.stages.score_systems import score_systems

with stage(snakemake) as job:
    scores = score_systems(
        job.model,
        job.study["polish"],
        **job.inputs,
        seed=job.seed,
        seconds_per_solve=job.params.seconds_per_solve,
        device=job.device,
    )
    job.save("scores", scores)
