"""Fit power laws to the errors against the number of systems."""

from popinv.workflow.script import stage
from popinv.charts.saving import save
from popinv.evidence.stages.fit_error_slope import fit_error_slope
from popinv.figures.evidence import draw_error_against_systems

with stage(snakemake) as job:
    errors, metrics = fit_error_slope(**job.inputs, through=job.params.through)
    job.save("errors", errors, through=job.params.through)
    save(draw_error_against_systems(errors, metrics), job.path("figure"))
    print(job.write("metrics", metrics))
