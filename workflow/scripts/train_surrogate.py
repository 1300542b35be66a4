"""Train the surrogate on all solves so far, from its last weights."""

from pathlib import Path

from popinv import storage
from popinv.checkpoints import Checkpoint
from popinv.job import job

with job(snakemake):
    given, number = snakemake.params, int(snakemake.wildcards.round)
    solves = storage.load(snakemake.input.solves)
    config = {"surrogate": given.surrogate, "recency_decay": given.recency_decay}
    last = snakemake.input.get("previous_surrogate")
    previous = None if last is None else storage.load(last)
    checkpoint = None
    if solves.attrs["converged"]:
        print("the last surrogate is good enough and is passed on")
        dataset = previous.assign_attrs(converged=1)
    else:
        # Imported here: passing on needs no tensor library.
        from popinv.population.laws.build import law
        from popinv.surrogate.artefact import surrogate_dataset, surrogate_of
        from popinv.surrogate.build import training_data, training_settings
        from popinv.surrogate.resumable import train_resumably

        initial = None if previous is None else surrogate_of(previous)
        estimate = None if last is None else storage.load(snakemake.input.previous_estimate)
        logarithmic = law(given.law, given.forward).logarithmic
        settings = training_settings(
            given.surrogate,
            given.forward,
            given.seed,
            number,
            estimate,
            logarithmic,
            snakemake.config["device"],
        )
        data = training_data(solves, number, given.recency_decay)
        inputs = [d.attrs["content_sha256"] for d in (solves, previous, estimate) if d is not None]
        given_to = {**config, "inputs": inputs, "seed": given.seed, "code": given.code}
        every = snakemake.config["checkpoint_seconds"]
        checkpoint = Checkpoint(Path(given.checkpoint), given_to, every)
        surrogate, history = train_resumably(data, settings, checkpoint, initial)
        best = min(history["validation_loss"])
        print(f"{len(data.z)} solves, validation loss {best:.3g}")
        dataset = surrogate_dataset(surrogate, history, {"converged": 0})
    storage.save(
        dataset,
        snakemake.output.surrogate,
        config=config,
        seed=given.seed,
        created_by=snakemake.rule,
    )
    if checkpoint is not None:
        checkpoint.clear()
