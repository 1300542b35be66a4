"""Judge the answer."""

import json

from popinv import storage
from popinv.inference.build import descent_problem
from popinv.inference.summary import metrics
from popinv.job import job
from popinv.surrogate.artefact import surrogate_of
from popinv.whole_files import write_text

with job(snakemake):
    given = snakemake.params
    study = {key: given[key] for key in ("forward", "law", "noise")}
    loaded = {name: storage.load(path) for name, path in snakemake.input.items()}
    surrogate = surrogate_of(loaded["surrogate"])
    problem = descent_problem(study, loaded["observations"], surrogate, given.seed, "assess")
    figures = metrics(
        problem, loaded, given.null_resamples, given.polish["draws"], given.thresholds
    )
    write_text(snakemake.output.metrics, json.dumps(figures, indent=2) + "\n")
