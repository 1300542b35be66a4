"""Bring the user's own observations into the form the other stages read."""

import numpy as np

from popinv import storage
from popinv.forward.build import observed
from popinv.job import job
from popinv.observation_files.fit import read_fitting
from popinv.observation_files.heldout import heldout_split
from popinv.population.observe import observations_dataset

with job(snakemake):
    given = snakemake.params
    what = observed(given.forward, given.seed)
    table = read_fitting(given.observations, len(what), what.time_count)
    kept, heldout = heldout_split(
        len(table.values), given.observations["heldout_fraction"], given.seed
    )
    rows = np.concatenate([kept, heldout])
    scale, ids = table.noise_scale, table.system_ids
    storage.save(
        observations_dataset(
            table.values[rows],
            what,
            heldout=len(heldout),
            noise_scale=None if scale is None else scale[rows],
            system_ids=None if ids is None else ids[rows],
        ),
        snakemake.output.observations,
        config={key: given[key] for key in ("forward", "law", "noise", "observations")},
        seed=given.seed,
        created_by=snakemake.rule,
    )
