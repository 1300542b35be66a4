"""Train a surrogate on solves of the broad design alone."""

from popinv import storage
from popinv.evidence.designs import train_fixed, trained_rounds
from popinv.job import job
from popinv.population.laws.build import law
from popinv.surrogate.artefact import surrogate_dataset

with job(snakemake):
    given, solves = snakemake.params, int(snakemake.wildcards.solves)
    trainings = len(trained_rounds(storage.load(snakemake.input.check)))
    surrogate, history = train_fixed(
        storage.load(snakemake.input.solves),
        solves,
        given.surrogate,
        given.forward,
        given.seed,
        storage.load(snakemake.input.population),
        trainings,
        law(given.law, given.forward).logarithmic,
    )
    print(f"{solves} solves, trained {trainings} times")
    storage.save(
        surrogate_dataset(surrogate, history, {"solver_calls": solves}),
        snakemake.output.surrogate,
        config={"surrogate": given.surrogate, "trainings": trainings},
        seed=given.seed,
        created_by=snakemake.rule,
    )
