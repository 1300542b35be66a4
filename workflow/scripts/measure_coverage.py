"""Count how often the intervals hold the truth."""

import json
from pathlib import Path

from popinv import storage
from popinv.evidence.coverage import coverage, coverage_metrics
from popinv.figures.evidence import draw_coverage
from popinv.figures.style import save
from popinv.job import job
from popinv.whole_files import write_text

with job(snakemake):
    given = snakemake.params
    blocks = [storage.load(path) for path in snakemake.input.blocks]
    found = coverage(blocks, storage.load(snakemake.input.truth))
    metrics = coverage_metrics(found)
    text = json.dumps(metrics, indent=2) + "\n"
    print(text)
    storage.save(
        found,
        snakemake.output.coverage,
        config={"replications": given.replications},
        seed=given.seed,
        created_by=snakemake.rule,
    )
    save(draw_coverage(found), Path(snakemake.output.figure))
    write_text(snakemake.output.metrics, text)
