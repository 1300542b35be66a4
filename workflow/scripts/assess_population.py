"""Judge the answer."""

from popinv.workflow.script import stage
from popinv.inference.assessment import answer_tests
from popinv.inference.stages.assess_population import assess_population
from popinv.surrogate.collect import Thresholds

with stage(snakemake) as job:
    answer = assess_population(
        job.model,
        Thresholds(**job.params.thresholds),
        **job.inputs,
        seed=job.seed,
        null_resamples=job.params.null_resamples,
        tests=answer_tests,
    )
    job.write("answer", answer.to_json())
    job.write("metrics", answer.metrics_json())
