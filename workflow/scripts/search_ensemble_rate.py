"""Try the learning rates of a grid for one method on one kind of pairs of overlapping images."""

from pathlib import Path

from popinv.store import storage
from popinv.threads import fixed_threads
from popinv.workflow.job import job
from popinv_papers.kit.images import read_images
from popinv_papers.mwgrad.ensemble_runs import SIZES
from popinv_papers.mwgrad.ensemble_training import search

with job(snakemake):
    given, chosen = snakemake.params, snakemake.wildcards
    archives = [Path(archive) for archive in snakemake.input.archives]
    sets = {archive.stem: read_images(archive, archive.stem) for archive in archives}
    settings = {"kind": chosen.kind, "method": chosen.method, "size": given.size}
    with fixed_threads():
        found = search(chosen.kind, chosen.method, sets, SIZES[given.size], given.seed)
    storage.save(
        found,
        snakemake.output.rates,
        config=settings,
        seed=given.seed,
        created_by=snakemake.rule,
    )
