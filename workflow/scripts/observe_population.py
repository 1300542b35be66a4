"""Add noise to the solved synthetic population and set some systems aside."""

from popinv import storage
from popinv.forward.build import observed
from popinv.job import job
from popinv.population.build import law, law_values, noise
from popinv.population.observe import observations_dataset, truth_dataset
from popinv.population.synthetic import noise_rows

with job(snakemake):
    given = snakemake.params
    solves = storage.load(snakemake.input.solves)
    what = observed(given.forward, given.seed)
    noise_model = noise(given.noise, what)
    truth = given.observations["truth"]
    gamma = noise_model.from_natural(truth["noise"])
    clean = solves["y"].values
    y = clean + noise_rows(noise_model, gamma, given.seed, "truth", len(clean))
    config = {key: given[key] for key in ("forward", "law", "noise", "observations")}
    written = {"config": config, "seed": given.seed, "created_by": snakemake.rule}
    solved = solves["reason"].values == 0
    storage.save(
        observations_dataset(y[solved], what, heldout=given.observations["heldout"]),
        snakemake.output.observations,
        **written,
    )
    model = law(given.law, given.forward)
    alpha = law_values(given.law, truth["law"], given.forward)
    storage.save(
        truth_dataset(model, alpha, noise_model, gamma, solves.isel(sample=solved)),
        snakemake.output.truth,
        **written,
    )
