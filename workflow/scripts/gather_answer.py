"""Gather the answer: the best estimate, its intervals, and its agreement with the others."""

from popinv.inference.stages.gather_answer import gather_answer
from popinv.workflow.stage import stage

with stage(snakemake) as job:
    estimator = job.study["estimator"]
    population = gather_answer(job.model, estimator, **job.inputs, seed=job.seed)
    job.save("population", population)
