"""Put the study's answer, its oracles and its baselines into one table."""

from popinv.workflow.script import stage
from popinv.baselines.comparison import seconds_of, write_table
from popinv.baselines.stages.compare_baselines import compare_baselines

with stage(snakemake) as job:
    times = {
        name.removesuffix("_time"): seconds_of(path)
        for name, path in snakemake.input.items()
        if name.endswith("_time")
    }
    comparison = compare_baselines(**job.inputs, seconds=times)
    job.write("comparison", comparison)
    write_table(comparison, job.path("table"))
