"""Solve the forward model for one chunk of the proposals."""

import numpy as np

from popinv import storage
from popinv.artefacts import solves
from popinv.forward.base import ClaimedDerivatives, Solutions
from popinv.forward.build import forward_model, observed
from popinv.job import job

with job(snakemake):
    given = snakemake.params
    start = int(snakemake.wildcards.chunk) * given.chunk_size
    rows = storage.load(snakemake.input.proposals).isel(
        sample=slice(start, start + given.chunk_size)
    )
    z, what = rows["z"].values, observed(given.forward, given.seed)
    if len(z):
        stage = f"solve/{snakemake.wildcards.round}"
        model = forward_model(given.forward, given.seed)
        if stage == "solve/0" and start == 0 and isinstance(model, ClaimedDerivatives):
            model.check_derivatives(z)
        solutions = model.solve(z, stage, start)
    else:
        solutions = Solutions(np.empty((0, len(what))), np.empty(0, dtype=object))
    print(f"{len(z)} solves, {int(solutions.failed.sum())} failed")
    storage.save(
        solves(z, solutions, list(rows["parameter"].values), what),
        snakemake.output.solves,
        config={"forward": given.forward},
        seed=given.seed,
        created_by=snakemake.rule,
    )
