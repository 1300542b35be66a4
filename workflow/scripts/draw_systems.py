"""Draw the whole states of a few systems, of the population or of the fitted population."""

from popinv.figures.stages.draw_systems import draw_systems
from popinv.figures.style import save
from popinv.workflow.stage import stage

with stage(snakemake) as job:
    save(draw_systems(job.model, **job.inputs, seed=job.seed), job.path("systems"))
