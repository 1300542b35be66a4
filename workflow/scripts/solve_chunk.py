"""Solve the forward model for one chunk of the proposals."""

from pathlib import Path

from popinv.workflow.script import stage
from popinv.forward.stages.solve_chunk import solve_chunk

with stage(snakemake, streams=True) as job:
    results = snakemake.config["results"]
    solves = solve_chunk(
        **job.study,
        **job.inputs,
        seed=job.seed,
        round_name=job.wildcards.round,
        chunk=int(job.wildcards.chunk),
        chunk_size=job.params.chunk_size,
        journal=(str(Path(results, ".journal")), snakemake.config["journal_seconds"]),
        results=results,
    )
    # By this the job that collects the chunks knows its own.
    job.save("solves", solves, simulator=job.params.simulator, code=job.params.code)
