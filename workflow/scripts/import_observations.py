"""Convert the user's own observations into the form that the other stages read."""

from popinv.workflow.script import stage
from popinv.population.stages.import_observations import import_observations

with stage(snakemake) as job:
    sections = job.settings("forward", "law", "noise", "observations")
    job.save("observations", import_observations(**sections, seed=job.seed))
