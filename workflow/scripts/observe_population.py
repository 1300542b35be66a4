"""Add noise to the solved synthetic population and set some systems aside."""

from popinv.workflow.script import stage
from popinv.population.stages.observe_population import observe_population

with stage(snakemake) as job:
    observations, truth = observe_population(
        job.model, job.study["observations"], **job.inputs, seed=job.seed
    )
    job.save("observations", observations)
    job.save("truth", truth)
