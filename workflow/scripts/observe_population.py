"""Add noise to the solved synthetic population and set some systems aside."""

from popinv import storage
from popinv.forward.build import observed
from popinv.job import job
from popinv.population.laws.build import law, law_values
from popinv.population.noise.build import noise
from popinv.population.observe import observations_dataset
from popinv.population.synthetic import noise_rows, noise_scales
from popinv.population.truth import truth_dataset

with job(snakemake):
    given = snakemake.params
    solves = storage.load(snakemake.input.solves)
    what = observed(given.forward, given.seed)
    truth, spread = given.observations["truth"], given.observations["noise_scale"]
    # The truth may come from another family than the one that is fitted.
    noise_model = noise(truth["noise_model"] or given.noise, what)
    gamma = noise_model.from_natural(truth["noise"])
    clean = solves["y"].values
    xi = noise_rows(noise_model, gamma, given.seed, "truth", len(clean))
    scale = None
    if spread is not None:
        scale = noise_scales(spread["low"], spread["high"], given.seed, "truth", len(clean))
        xi = scale[:, None] * xi
    config = {key: given[key] for key in ("forward", "law", "noise", "observations")}
    written = {"config": config, "seed": given.seed, "created_by": snakemake.rule}
    solved = solves["reason"].values == 0
    observations = observations_dataset(
        (clean + xi)[solved],
        what,
        heldout=given.observations["heldout"],
        noise_scale=None if scale is None else scale[solved],
    )
    storage.save(observations, snakemake.output.observations, **written)
    model = law(given.law, given.forward)
    alpha = law_values(given.law, truth["law"], given.forward)
    storage.save(
        truth_dataset(model, alpha, noise_model, gamma, solves.isel(sample=solved)),
        snakemake.output.truth,
        **written,
    )
