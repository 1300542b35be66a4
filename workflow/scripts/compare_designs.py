"""Compare the solver calls that both designs need for the same error."""

from popinv.workflow.script import stage
from popinv.charts.saving import save
from popinv.evidence.stages.compare_designs import compare_designs
from popinv.figures.evidence import draw_designs

with stage(snakemake) as job:
    curves, metrics = compare_designs(**job.inputs, solver_calls=job.params.solves)
    job.save("designs", curves, solves=job.params.solves)
    save(draw_designs(curves, metrics), job.path("figure"))
    print(job.write("metrics", metrics))
