"""Gather the answer: the best estimate, its intervals, and what the others say of it."""

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
    population = population_dataset(problem, loaded, given.estimator)
    print(
        f"the answer is that of the {population.attrs['estimator']}: "
        f"{population.attrs['estimator_reason']}"
    )
    print(population.attrs["agreement"])
    storage.save(
        population,
        snakemake.output.population,
        config={**study, "estimator": given.estimator},
        seed=given.seed,
        created_by=snakemake.rule,
    )
