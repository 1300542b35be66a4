"""Sample the joint posterior of law, noise and some of the systems."""

from popinv import storage
from popinv.inference.baselines.hierarchical import posterior_dataset, sample_posterior
from popinv.inference.build import descent_problem
from popinv.inference.result import parameters_of
from popinv.job import job
from popinv.surrogate.artefact import surrogate_of

with job(snakemake):
    given = snakemake.params
    study = {key: given[key] for key in ("forward", "law", "noise")}
    observations = storage.load(snakemake.input.observations)
    surrogate = surrogate_of(storage.load(snakemake.input.surrogate))
    problem = descent_problem(study, observations, surrogate, given.seed, "nuts")
    posterior = sample_posterior(problem, parameters_of(storage.load(snakemake.input.estimate)))
    print(
        f"{posterior.systems} of {len(problem.data)} systems, {posterior.leapfrog_steps} steps, "
        f"{posterior.divergences} divergences, split R-hat {posterior.split_r_hat.max():.2f}"
    )
    storage.save(
        posterior_dataset(problem, posterior),
        snakemake.output.answer,
        config=study,
        seed=given.seed,
        created_by=snakemake.rule,
    )
