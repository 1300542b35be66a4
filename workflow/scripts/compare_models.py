"""Compare several models of the same observations."""

import json

from popinv.charts.saving import save
from popinv.cli.show import comparison_lines
from popinv.evidence.stages.compare_models import compare_models
from popinv.figures.evidence import draw_comparison
from popinv.store import storage
from popinv.store.whole_files import write_text
from popinv.workflow.job import job

with job(snakemake):
    given, name = snakemake.input, snakemake.wildcards.comparison
    studies = snakemake.params.studies
    comparison = compare_models(
        {study: storage.load(file) for study, file in zip(studies, given.scores, strict=True)},
        {study: storage.load(f) for study, f in zip(studies, given.observations, strict=True)},
    )
    print("\n".join(comparison_lines(name, comparison)))
    save(draw_comparison(name, comparison), snakemake.output.figure)
    write_text(snakemake.output.comparison, json.dumps(comparison, indent=2) + "\n")
