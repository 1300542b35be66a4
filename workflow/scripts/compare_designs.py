"""Compare the solver calls that both designs need for the same error."""

import json
from pathlib import Path

from popinv import storage
from popinv.evidence.designs import design_curves, design_metrics, trained_rounds
from popinv.figures.evidence import draw_designs
from popinv.figures.style import save
from popinv.job import job
from popinv.surrogate.artefact import surrogate_of
from popinv.whole_files import write_text

with job(snakemake):
    given = snakemake.params
    check = storage.load(snakemake.input.check)
    active, fixed = (
        [surrogate_of(storage.load(path)) for path in snakemake.input[name]]
        for name in ("active", "fixed")
    )
    curves = design_curves(
        check,
        storage.load(snakemake.input.population)["noise_covariance"].values,
        [active[number] for number in trained_rounds(check)],
        dict(zip(given.solves, fixed, strict=True)),
    )
    metrics = design_metrics(curves)
    text = json.dumps(metrics, indent=2) + "\n"
    print(text)
    storage.save(
        curves,
        snakemake.output.designs,
        config={"solves": given.solves},
        seed=given.seed,
        created_by=snakemake.rule,
    )
    save(draw_designs(curves, metrics), Path(snakemake.output.figure))
    write_text(snakemake.output.metrics, text)
