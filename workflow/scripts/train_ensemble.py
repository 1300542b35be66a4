"""Train an ensemble of networks on pairs of overlapping images, by one method from one start."""

from pathlib import Path

from popinv.store import storage
from popinv.store.checkpoints import Checkpoint
from popinv.threads import fixed_threads
from popinv.workflow.job import job
from popinv_papers.kit.images import read_images
from popinv_papers.mwgrad.ensemble_runs import SIZES, EnsembleTraining
from popinv_papers.mwgrad.ensemble_training import best_rate, train

with job(snakemake):
    given, chosen, output = snakemake.params, snakemake.wildcards, snakemake.output
    archives = [Path(archive) for archive in snakemake.input.archives]
    sets = {archive.stem: read_images(archive, archive.stem) for archive in archives}
    run = EnsembleTraining(chosen.kind, chosen.recipe, chosen.method, int(chosen.start))
    settings = {"run": run.name, "size": given.size}
    checkpoint = Checkpoint.of_job(snakemake, settings, ())
    # The authors' recipes have their own rates.
    searched = snakemake.input.get("rates")
    rate = best_rate(storage.load(searched)) if searched else None
    with fixed_threads():
        found = train(run, sets, SIZES[given.size], given.seed, checkpoint, rate)
    storage.save(found, output.trained, config=settings, seed=given.seed, created_by=snakemake.rule)
    checkpoint.clear()
