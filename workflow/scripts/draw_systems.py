"""Draw a few systems whole: of the population, or as the fitted population would have them."""

from pathlib import Path

import numpy as np
import xarray as xr

from popinv import storage
from popinv.figures.gallery.systems import draw_systems
from popinv.figures.observations import example_systems
from popinv.figures.style import SYSTEMS, save
from popinv.forward.build import forward_model, observed
from popinv.forward.states import states
from popinv.inference.result import parameters_of
from popinv.job import job
from popinv.population.laws.build import law
from popinv.population.noise.build import noise
from popinv.population.synthetic import noise_rows, parameters

# Beside those that are drawn, in case that some cannot be solved.
SPARE = 20

with job(snakemake):
    given, seed, count = snakemake.params, snakemake.params.seed, len(SYSTEMS)
    observations = storage.load(snakemake.input.observations)
    if (path := snakemake.input.get("solves")) is not None:
        solves, stage = storage.load(path), "solve/truth"
        chosen = example_systems(observations["y"].values, count)
        # Observed were the systems that could be solved, in their order.
        rows = np.flatnonzero(solves["reason"].values == 0)[chosen]
        z, seen = solves["z"].isel(sample=rows), observations.isel(system=chosen)
        of = observations.sizes["system"]
        title = f"{len(rows)} of {of} systems, and what is seen of them"
    else:
        population, stage = storage.load(snakemake.input.population), "gallery"
        alpha, gamma = parameters_of(population)
        drawn = parameters(law(given.law, given.forward), alpha, seed, stage, count + SPARE)
        model, what = forward_model(given.forward, seed), observed(given.forward, seed)
        solutions = model.solve(drawn, stage)
        rows = np.flatnonzero(~solutions.failed)[:count]
        names = {"parameter": [parameter.name for parameter in model.parameters]}
        z = xr.DataArray(drawn[rows], dims=("system", "parameter"), coords=names)
        xi = noise_rows(noise(given.noise, what), gamma, seed, stage, count + SPARE)
        # In the form of the user's own systems.
        seen = observations.isel(system=np.zeros(len(rows), dtype=int))
        seen = seen.assign(y=seen["y"].copy(data=(solutions.observations + xi)[rows]))
        title = f"{len(rows)} systems drawn from the recovered population"
    found = states(given.forward, seed, z.values, stage, rows)
    save(draw_systems(found, seen, z, title), Path(snakemake.output.systems))
