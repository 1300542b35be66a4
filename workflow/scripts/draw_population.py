"""Draw the parameters of a synthetic population from its true law."""

from popinv.workflow.script import stage
from popinv.population.stages.draw_population import draw_population

with stage(snakemake) as job:
    samples, round_name = job.params.samples, job.wildcards.round
    proposals = draw_population(**job.study, seed=job.seed, samples=samples, round_name=round_name)
    job.save("proposals", proposals, samples=samples)
