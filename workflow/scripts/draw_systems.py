"""Draw the whole states of a few systems, of the population or of the fitted population."""

from popinv.workflow.script import stage
from popinv.figures.stages.draw_systems import draw_systems
from popinv.figures.style import save

with stage(snakemake) as job:
    save(draw_systems(job.model, **job.inputs, seed=job.seed), job.path("systems"))
