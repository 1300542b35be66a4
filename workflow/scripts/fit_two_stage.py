"""Fit each system by itself, then pool."""

from popinv import storage
from popinv.inference.baselines.two_stage import two_stage
from popinv.inference.build import descent_problem
from popinv.inference.result import answer_dataset, parameters_of
from popinv.job import job
from popinv.surrogate.artefact import surrogate_of

with job(snakemake):
    given = snakemake.params
    study = {key: given[key] for key in ("forward", "law", "noise")}
    observations = storage.load(snakemake.input.observations)
    surrogate = surrogate_of(storage.load(snakemake.input.surrogate))
    problem = descent_problem(study, observations, surrogate, given.seed, "two_stage")
    found = two_stage(problem, parameters_of(storage.load(snakemake.input.estimate)))
    dataset = answer_dataset(problem, found.alpha, found.gamma)
    print(dataset["law"].to_series().to_string(), dataset["noise"].to_series().to_string())
    storage.save(
        dataset,
        snakemake.output.answer,
        config=study,
        seed=given.seed,
        created_by=snakemake.rule,
    )
