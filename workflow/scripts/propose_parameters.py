"""Propose parameters to solve: broadly at first, then from the current estimate."""

from popinv import storage
from popinv.artefacts import proposals
from popinv.forward.build import parameters as forward_parameters
from popinv.job import job
from popinv.population.laws.build import law, law_spread, law_values
from popinv.population.synthetic import broad_parameters, parameters

with job(snakemake):
    given, name = snakemake.params, snakemake.wildcards.round
    model, stage = law(given.law, given.forward), f"propose/{name}"
    previous = snakemake.input.get("previous_estimate")
    if previous is None:
        alpha = law_values(given.law, given.law["start"], given.forward)
        spread = law_spread(given.law, given.forward)
        z = broad_parameters(model, alpha, spread, given.seed, stage, given.samples)
        source = "broad design about the start"
    else:
        estimate = storage.load(previous)
        # A surrogate that is good enough needs no more solves, except to be judged at the end.
        wanted = 0 if estimate.attrs["converged"] and name != "check" else given.samples
        z = parameters(model, estimate["alpha"].values, given.seed, stage, wanted)
        source = "current estimate"
    storage.save(
        proposals(z, forward_parameters(given.forward), source),
        snakemake.output.proposals,
        config={"law": given.law, "samples": given.samples},
        seed=given.seed,
        created_by=snakemake.rule,
    )
