"""Synthetic systems, solved and observed as a study states: the noise, and all that is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from popinv.observation_files.limits import stated_limits, states_limits
from popinv.population.limits import limits_of
from popinv.population.model import Model, covariate_names
from popinv.population.noise.varying import replicated_noise
from popinv.population.observe import observe_through_noise
from popinv.population.synthetic import noise_rows
from popinv.population.synthetic_known import synthetic_known

if TYPE_CHECKING:
    from popinv.observation_files.known_columns import KnownColumns
    from popinv.population.noise.base import NoiseModel
    from popinv.population.sections import SyntheticObservations


def true_noise(
    model: Model, observations: SyntheticObservations, seed: int
) -> tuple[NoiseModel, np.ndarray]:
    """Return the true noise of one replicate, which may be of another family, and its gamma."""
    family = observations.truth.noise_model or model.noise
    noise = family.model(model.forward.observed(seed), _covariates(model, observations))
    return noise, noise.from_natural(observations.truth.noise)


def known_of_systems(
    model: Model, observations: SyntheticObservations, seed: int, count: int
) -> KnownColumns | None:
    """Return the design and all covariates of so many systems; None if there are none."""
    names = model.forward.design_names(), _covariates(model, observations)
    return synthetic_known(observations, *names, seed, count)


def observed_systems(
    model: Model,
    observations: SyntheticObservations,
    clean: np.ndarray,
    *,
    seed: int,
    stage: str,
    heldout: int = 0,
) -> xr.Dataset:
    """Return observations of solved systems through the true noise.

    The systems have the design, covariates, replicates, noise scales and limits that the section
    states. Systems whose solve failed are left out.

    Parameters
    ----------
    clean : ndarray of shape (n, d_y)
        G(z) of one replicate, NaN rows for solves that failed.
    seed, stage : int, str
        The study's seed, and the address of the draws. Row i depends on (seed, stage, i) alone.
    heldout : int
        Number of systems held out, the last ones.

    Returns
    -------
    Dataset
        The Dataset of :func:`popinv.population.observe.observations_dataset`.
    """
    description, replicates = model.forward.observed(seed), observations.replicates
    known = known_of_systems(model, observations, seed, len(clean))
    noise, gamma = true_noise(model, observations, seed)
    each, of_systems = replicated_noise(noise, replicates), None
    if known is not None:
        of_systems = known.covariates
    repeated = clean if replicates == 1 else np.tile(clean, (1, replicates))
    scales, limits = observations.noise_scale, None
    if states_limits(observations):
        ends = stated_limits(observations, description, len(clean), replicates)
        limits = limits_of(ends, description)
    return observe_through_noise(
        clean,
        noise_rows(each, gamma, seed, stage, repeated, of_systems),
        description,
        seed,
        stage,
        heldout,
        None if scales is None else (scales.low, scales.high),
        known,
        model.forward.design_names(),
        _covariates(model, observations),
        limits,
        replicates,
    )


def _covariates(model: Model, observations: SyntheticObservations) -> tuple[str, ...]:
    return covariate_names(model.law, model.noise, observations.truth.noise_model)
