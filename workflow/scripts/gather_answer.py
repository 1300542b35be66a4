"""Gather the answer: the best estimate, its intervals, and its agreement with the others."""

from popinv.workflow.script import stage
from popinv.inference.stages.gather_answer import gather_answer

with stage(snakemake) as job:
    estimator = job.study["estimator"]
    population = gather_answer(job.model, estimator, **job.inputs, seed=job.seed)
    job.save("population", population)
