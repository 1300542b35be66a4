"""Draw the whole states of a few systems, of the population or of the fitted population."""

from popinv.workflow.script import stage
from popinv.charts.saving import save
from popinv.figures.stages.draw_systems import draw_systems

with stage(snakemake) as job:
    save(draw_systems(job.model, **job.inputs, seed=job.seed), job.path("systems"))
