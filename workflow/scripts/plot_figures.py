"""Draw every figure of a study."""

from pathlib import Path

from popinv.workflow.script import stage
from popinv.figures.stages.plot_figures import plot_figures

with stage(snakemake) as job:
    folder = Path(job.output[0]).parent
    plot_figures(job.model, job.inputs, folder, seed=job.seed)
