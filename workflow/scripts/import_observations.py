"""Bring the user's own observations into the form the other stages read."""

from popinv import storage
from popinv.config.data_files import check_observation_file
from popinv.forward.build import observed
from popinv.job import job
from popinv.population.observe import observations_dataset, shuffled

with job(snakemake):
    given = snakemake.params
    what = observed(given.forward, given.seed)
    y = check_observation_file(snakemake.input.file, len(what))
    heldout = round(given.observations["heldout_fraction"] * len(y))
    storage.save(
        observations_dataset(shuffled(y, given.seed), what, heldout=heldout),
        snakemake.output.observations,
        config={key: given[key] for key in ("forward", "law", "noise", "observations")},
        seed=given.seed,
        created_by=snakemake.rule,
    )
