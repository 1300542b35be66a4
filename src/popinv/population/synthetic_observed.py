"""Synthetic systems, solved and observed as a study states.

They have the true noise, their known quantities, and their truth.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from popinv.forward.datasets import law_and_noise_coordinates
from popinv.late import torch
from popinv.observation_files.known_columns import KnownColumns
from popinv.observation_files.limit_keys import states_limits
from popinv.observation_files.limits import stated_limits
from popinv.population.known import with_sensors
from popinv.population.limits import limits_of
from popinv.population.members import of_replicates
from popinv.population.model import Model, covariate_names
from popinv.population.noise.terms import replicated_noise
from popinv.population.observe import observe_through_noise
from popinv.population.synthetic import noise_rows
from popinv.seeds import generator
from popinv.store.variables import variable

if TYPE_CHECKING:
    from popinv.population.laws.base import Law
    from popinv.population.noise.terms import Noise
    from popinv.population.sections import SyntheticObservations


def true_noise(
    model: Model, observations: SyntheticObservations, seed: int
) -> tuple[Noise, np.ndarray]:
    """Return the true noise of one replicate, which may be of another family, and its gamma."""
    family = observations.truth.noise_model or model.noise
    noise = family.model(model.forward.observed(seed), _covariates(model, observations))
    return noise, noise.from_natural(observations.truth.noise)


def known_of_systems(
    model: Model, observations: SyntheticObservations, seed: int, count: int
) -> KnownColumns | None:
    """Return the design and all covariates of ``count`` systems; None if there are none.

    The quantities of the members of a group stand side by side.
    """
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
        G(z) of one replicate, NaN rows for solves that failed. The members of a group stand side by
        side, with NaN for members whose solve failed.
    seed, stage : int, str
        The study's seed, and the address of the draws. Row i depends on (seed, stage, i) alone.
    heldout : int
        Number of systems held out, the last ones.

    Returns
    -------
    Dataset
        The Dataset of :func:`popinv.population.observe.observations_dataset`.
    """
    description, tree = model.forward.observed(seed), observations.tree(model.law.level_names())
    members = observations.members_of_group
    replicates = members * observations.replicates
    known = known_of_systems(model, observations, seed, len(clean))
    noise, gamma = true_noise(model, observations, seed)
    each, of_systems = replicated_noise(noise, replicates), None
    if known is not None:
        of_systems = known.covariates
    places = None
    if known is not None and description.own_sensors:
        names = model.forward.design_names()
        places = torch.from_numpy(with_sensors(known.covariates, known.design, names))
    signal = torch.from_numpy(of_replicates(clean, replicates, members))
    repeated = each.shifted(torch.from_numpy(gamma), signal, places).numpy()
    scales, limits = observations.noise_scale, None
    if states_limits(observations):
        ends = stated_limits(observations, description, len(clean), replicates)
        limits = limits_of(ends, description)
    return observe_through_noise(
        repeated,
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
        tree,
    )


def truth_dataset(
    law: Law,
    alpha: np.ndarray,
    noise: Noise,
    gamma: np.ndarray,
    solves: xr.Dataset,
    covariates: np.ndarray | None = None,
) -> xr.Dataset:
    """Return the true parameters, the noise covariance, and every system's z and clean y.

    The covariance of noise that varies is its mean over the systems.

    Parameters
    ----------
    law, noise : Law, Noise
    alpha, gamma : ndarray of shape (d_alpha,), (n_gamma,)
    solves : Dataset
        Solves of the n systems that could be solved. Of groups, ``z`` and ``y`` have a dimension
        ``member`` after that of the samples.
    covariates : ndarray of shape (n, k), optional
    """
    x = None if covariates is None else torch.from_numpy(covariates)
    y = solves["y"].values
    signal = torch.from_numpy(y.reshape(-1, y.shape[-1]))
    signal = signal[~signal.isnan().any(dim=1)] if y.ndim > 2 else signal
    covariance = noise.mean_covariance(torch.from_numpy(gamma), signal, x).numpy()
    return xr.Dataset(
        {
            "alpha": variable("law_parameter", alpha, "true law, unconstrained"),
            "gamma": variable("noise_parameter", gamma, "true noise, unconstrained"),
            "law": variable("law_parameter", law.to_natural(alpha), "true law"),
            "noise": variable("noise_parameter", noise.to_natural(gamma), "true noise"),
            "noise_covariance": variable(
                ("observation", "observation_other"), covariance, "true covariance of the noise"
            ),
            "z": solves["z"].variable,
            "y_clean": solves["y"].variable,
        },
        coords={
            **law_and_noise_coordinates(law.names, noise.names),
            "parameter": solves["parameter"].variable,
        },
    )


def true_parameters(truth: xr.Dataset, law: Law, count: int) -> np.ndarray:
    """Return the true parameters (count, d_z) of the systems to learn from.

    Parameters
    ----------
    truth : Dataset
        From :func:`truth_dataset`.
    law : Law
        Of the systems; of groups, with the parameters of all members.
    """
    z = truth["z"].values[:count]
    members = z.shape[1] if z.ndim > 2 else 1
    # The design follows the parameters.
    found: np.ndarray = z[..., : law.d_z // members].reshape(len(z), -1)
    return found


def synthetic_known(
    observations: SyntheticObservations,
    design: Sequence[str],
    covariates: Sequence[str],
    seed: int,
    count: int,
) -> KnownColumns | None:
    """Return the known quantities of a synthetic population; None if it has none.

    A quantity has the same values in every call. Covariates count from the mean of their
    distribution over these systems.

    Parameters
    ----------
    design, covariates : sequence of str
    seed : int
        The study's seed.
    count : int
        Number of systems, with those that are held out. Each member of a group has values of its
        own.
    """
    if not design and not covariates:
        return None
    every = count * observations.members_of_group
    values = {
        name: observations.known[name].values(generator(seed, f"truth/known/{name}"), every)
        for name in (*design, *covariates)
    }
    centres = np.array([values[name].mean() for name in covariates])
    found = KnownColumns.of_values(values, design, covariates, centres, every)
    if every == count:
        return found
    return KnownColumns(
        found.design.reshape(count, -1), found.covariates.reshape(count, -1), centres
    )


def _covariates(model: Model, observations: SyntheticObservations) -> tuple[str, ...]:
    return covariate_names(model.law, model.noise, observations.truth.noise_model)
