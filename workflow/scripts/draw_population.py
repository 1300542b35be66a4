"""Draw the parameters of a synthetic population from its true law."""

from popinv import storage
from popinv.artefacts import proposals
from popinv.forward.build import parameters as forward_parameters
from popinv.job import job
from popinv.population.laws.build import law, law_values
from popinv.population.synthetic import parameters

with job(snakemake):
    given = snakemake.params
    model = law(given.law, given.forward)
    alpha = law_values(given.law, given.law["start"], given.forward)
    z = parameters(model, alpha, given.seed, snakemake.wildcards.round, given.samples)
    storage.save(
        proposals(z, forward_parameters(given.forward), source="true law"),
        snakemake.output.proposals,
        config={"law": given.law, "samples": given.samples},
        seed=given.seed,
        created_by=snakemake.rule,
    )
