"""Draw the covariance of the noise: at the start of the study, recovered, and true."""

from __future__ import annotations

from typing import TYPE_CHECKING

import xarray as xr
from scipy.spatial.distance import cdist

from popinv.charts.description import Sheet
from popinv.figures.arrangement import arrangement, of_one_replicate
from popinv.figures.gallery.noise import draw_before_and_after
from popinv.forward.datasets import places
from popinv.inference.density.conditions import fitted_observations
from popinv.late import torch

if TYPE_CHECKING:
    from popinv.forward.section import ForwardSection
    from popinv.population.noise.section import NoiseSection


def draw_noise(
    forward: ForwardSection,
    noise: NoiseSection,
    observations: xr.Dataset,
    population: xr.Dataset,
    truth: xr.Dataset | None = None,
    *,
    seed: int,
) -> Sheet:
    """Draw the noise before and after.

    Parameters
    ----------
    forward, noise : ForwardSection, NoiseSection
    truth : Dataset, optional
        Of a synthetic study.
    seed : int
        The study's seed.
    """
    observations = of_one_replicate(observations)
    covariates = observations.get("covariate_name")
    names = () if covariates is None else tuple(map(str, covariates.values))
    model = noise.model(forward.observed(seed), names)
    gamma = torch.from_numpy(model.from_natural(noise.start_values()))
    # Noise that varies depends on the observed signal, the only one before the estimate.
    data, conditions = fitted_observations(observations)
    start = model.mean_covariance(gamma, torch.from_numpy(data), conditions.known.covariates)
    where = places(observations)
    return draw_before_and_after(
        start.numpy(),
        population["noise_covariance"].values,
        None if truth is None else truth["noise_covariance"].values,
        arrangement(observations),
        distance=cdist(where, where) if model.by_distance else None,
        units=observations["y"].attrs["units"],
    )
