"""Train ensembles of networks on pairs of overlapping images of one kind, by each method."""

from pathlib import Path

from popinv.downstream.data.images import read_images
from popinv.downstream.mwgrad.ensemble_problem import SIZES, train
from popinv.store import storage
from popinv.threads import fixed_threads
from popinv.workflow.job import job

with job(snakemake):
    given, output = snakemake.params, snakemake.output
    archives = [Path(archive) for archive in snakemake.input.archives]
    sets = {archive.stem: read_images(archive, archive.stem) for archive in archives}
    with fixed_threads():
        found = train(snakemake.wildcards.kind, sets, SIZES[given.size], given.seed)
    storage.save(
        found,
        output.trained,
        config={"size": given.size},
        seed=given.seed,
        created_by=snakemake.rule,
    )
