"""Gather the answer: the descent, its intervals, and the errors that the moments predict."""

from popinv import storage
from popinv.inference.answer import population_dataset
from popinv.inference.build import descent_problem
from popinv.job import job
from popinv.surrogate.artefact import surrogate_of

with job(snakemake):
    given = snakemake.params
    study = {key: given[key] for key in ("forward", "law", "noise")}
    loaded = {name: storage.load(path) for name, path in snakemake.input.items()}
    surrogate = surrogate_of(loaded["surrogate"])
    problem = descent_problem(study, loaded["observations"], surrogate, given.seed, "assess")
    storage.save(
        population_dataset(problem, loaded),
        snakemake.output.population,
        config=study,
        seed=given.seed,
        created_by=snakemake.rule,
    )
