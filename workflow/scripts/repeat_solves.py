"""Solve some systems again and again from other initial states, for the sampling error."""

import numpy as np

from popinv import storage
from popinv.forward.build import forward_model
from popinv.inference.result import parameters_of
from popinv.inference.sampling_error import sampling_error_dataset
from popinv.job import job
from popinv.population.laws.build import law
from popinv.population.synthetic import parameters

with job(snakemake):
    given = snakemake.params
    alpha, _ = parameters_of(storage.load(snakemake.input.descent))
    z = parameters(law(given.law, given.forward), alpha, given.seed, "repeat", given.systems)
    model = forward_model(given.forward, given.seed)
    solves = [model.solve(z, f"repeat/{r}") for r in range(given.repeats)]
    failed = sum(int(solutions.failed.sum()) for solutions in solves)
    print(f"{given.repeats} solves of {given.systems} systems each, {failed} failed")
    storage.save(
        sampling_error_dataset(np.array([solutions.observations for solutions in solves])),
        snakemake.output.sampling_error,
        config={key: given[key] for key in ("forward", "law", "repeats", "systems")},
        seed=given.seed,
        created_by=snakemake.rule,
    )
