"""Compute the coverage of the intervals, and the ratio of the errors to the bound."""

from popinv.workflow.script import stage
from popinv.charts.saving import save
from popinv.evidence.stages.measure_calibration import measure_calibration
from popinv.figures.evidence import draw_calibration

with stage(snakemake) as job:
    measured, metrics = measure_calibration(**job.inputs)
    job.save("calibration", measured, replications=job.params.replications)
    save(draw_calibration(measured), job.path("figure"))
    print(job.write("metrics", metrics))
