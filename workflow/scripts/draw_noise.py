"""Draw the covariance of the noise where the study starts, as recovered, and as it is."""

from pathlib import Path

import torch
from scipy.spatial.distance import cdist

from popinv import storage
from popinv.artefacts import places
from popinv.figures.arrangement import arrangement
from popinv.figures.gallery.noise import draw_before_and_after
from popinv.figures.style import save
from popinv.forward.build import observed
from popinv.job import job
from popinv.population.noise.build import noise

with job(snakemake):
    given = snakemake.params
    loaded = {name: storage.load(path) for name, path in snakemake.input.items()}
    observations = loaded["observations"]
    model = noise(given.noise, observed(given.forward, given.seed))
    start = model.covariance(torch.from_numpy(model.from_natural(given.noise["start"])))
    where = places(observations)
    figure = draw_before_and_after(
        start.numpy(),
        loaded["population"]["noise_covariance"].values,
        loaded["truth"]["noise_covariance"].values if "truth" in loaded else None,
        arrangement(observations),
        distance=cdist(where, where) if model.by_distance else None,
        units=observations["y"].attrs["units"],
    )
    save(figure, Path(snakemake.output.noise))
