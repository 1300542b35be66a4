"""Fit how the errors fall with the number of systems."""

import json
from pathlib import Path

from popinv import storage
from popinv.evidence.convergence import error_metrics
from popinv.figures.evidence import draw_error_against_systems
from popinv.figures.style import save
from popinv.job import job
from popinv.whole_files import write_text

with job(snakemake):
    given = snakemake.params
    errors, metrics = error_metrics([storage.load(path) for path in snakemake.input.errors])
    metrics["error_observed_through"] = given.through
    text = json.dumps(metrics, indent=2) + "\n"
    print(text)
    storage.save(
        errors,
        snakemake.output.errors,
        config={"through": given.through},
        seed=given.seed,
        created_by=snakemake.rule,
    )
    save(draw_error_against_systems(errors, metrics), Path(snakemake.output.figure))
    write_text(snakemake.output.metrics, text)
