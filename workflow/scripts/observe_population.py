"""Add noise to the solved synthetic population and set some systems aside."""

from popinv import storage
from popinv.forward.build import observed
from popinv.job import job
from popinv.population.laws.build import law, law_values
from popinv.population.noise.build import noise
from popinv.population.observe import observe_through_noise
from popinv.population.synthetic import noise_rows
from popinv.population.truth import truth_dataset

with job(snakemake):
    given = snakemake.params
    solves = storage.load(snakemake.input.solves)
    what = observed(given.forward, given.seed)
    truth = given.observations["truth"]
    # The truth may come from another family than the one that is fitted.
    noise_model = noise(truth["noise_model"] or given.noise, what)
    gamma = noise_model.from_natural(truth["noise"])
    clean = solves["y"].values
    xi = noise_rows(noise_model, gamma, given.seed, "truth", len(clean))
    observations = observe_through_noise(
        clean,
        xi,
        what,
        given.seed,
        "truth",
        given.observations["heldout"],
        given.observations["noise_scale"],
    )
    config = {key: given[key] for key in ("forward", "law", "noise", "observations")}
    written = {"config": config, "seed": given.seed, "created_by": snakemake.rule}
    storage.save(observations, snakemake.output.observations, **written)
    model = law(given.law, given.forward)
    alpha = law_values(given.law, truth["law"], given.forward)
    solved = solves["reason"].values == 0
    storage.save(
        truth_dataset(model, alpha, noise_model, gamma, solves.isel(sample=solved)),
        snakemake.output.truth,
        **written,
    )
