"""Count how often the intervals hold the truth, and how the errors compare with the bound."""

import json
from pathlib import Path

from popinv import storage
from popinv.evidence.calibration import calibration, calibration_metrics
from popinv.figures.evidence import draw_calibration
from popinv.figures.style import save
from popinv.job import job
from popinv.whole_files import write_text

with job(snakemake):
    given = snakemake.params
    found = calibration([storage.load(path) for path in snakemake.input.blocks])
    metrics = calibration_metrics(found)
    print(json.dumps(metrics, indent=2))
    storage.save(
        found,
        snakemake.output.calibration,
        config={"replications": given.replications},
        seed=given.seed,
        created_by=snakemake.rule,
    )
    write_text(snakemake.output.metrics, json.dumps(metrics, indent=2) + "\n")
    save(draw_calibration(found), Path(snakemake.output.figure))
