"""Draw the covariance of the noise: at the start of the study, recovered, and true."""

from popinv.workflow.script import stage
from popinv.charts.saving import save
from popinv.figures.stages.draw_noise import draw_noise

with stage(snakemake) as job:
    save(draw_noise(**job.study, **job.inputs, seed=job.seed), job.path("noise"))
