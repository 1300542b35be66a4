"""Construction of the problem of an estimate from a study's model."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from popinv.errors import DataError
from popinv.forward.datasets import replicates_of
from popinv.inference.density.conditions import (
    Conditions,
    fitted_observations,
    observations_at_places,
)
from popinv.inference.density.problem import Problem
from popinv.population.laws.section import law_spread, law_values
from popinv.population.members import known_of_members, law_and_members
from popinv.population.model import Model
from popinv.population.noise.intervals import MOST_ENTRIES
from popinv.population.noise.terms import Noise, noise_at_places, replicated_noise
from popinv.population.observe import system_names
from popinv.population.places import own_places
from popinv.population.priors.stated import ObservedScales, stated_prior
from popinv.sections.refusals import REFUSED
from popinv.store.rows import Rows

if TYPE_CHECKING:
    from popinv.surrogate.simulator import TrainedSurrogate


# Scale of a law's entry whose spread is zero; a factor e is a large change of most entries.
_LAW_SCALE = 0.5


def descent_problem(
    model: Model,
    observations: xr.Dataset,
    surrogate: TrainedSurrogate,
    seed: int,
    stage: str,
    fill: np.ndarray | None = None,
) -> Problem:
    """Return the problem of fitting law and noise to observations through a surrogate.

    A system that is observed at few of all places keeps only its own places
    (:mod:`popinv.population.places`). The forward model itself is evaluated at these places. A
    surrogate has learned all places at once, as one solve gives them, and its values at the
    system's places are selected.

    Parameters
    ----------
    observations : Dataset
        The study's ``observations.zarr.zip``, with its noise scales and gaps.
    seed, stage : int, str
        Address of the random draws.
    fill : ndarray of shape (d_y,), optional
        As for :func:`popinv.inference.density.conditions.fitted_observations`.
    """
    data, conditions = fitted_observations(observations, fill)
    covariates = observations.get("covariate_name")
    names = () if covariates is None else tuple(map(str, covariates.values))
    replicates = replicates_of(observations)
    observed = model.forward.observed(seed)
    one = model.noise.model(observed, names)
    if model.forward.is_random():
        one = one.with_terms(intrinsic=True)
    noise_model = replicated_noise(one, replicates)
    # A spread of zero fixes the first design, not the descent.
    spread = law_spread(model.law, model.forward)
    scale = np.where(spread > 0, spread, _LAW_SCALE)
    law, members = law_and_members(model.law.law(model.forward), observations)
    deviations = known_of_members(observations).covariates.numpy().std(axis=0)
    for entry, covariate in law.coefficients:
        scale[entry] = _LAW_SCALE / deviations[covariate]
    if conditions.limited and one.intrinsic:
        raise DataError(
            f"some observations are censored, and {REFUSED['limits', 'random simulator']}"
        )
    if conditions.limited:
        _check_censored(noise_model, data, conditions, replicates, observations)
    scale_of_noise = noise_model.scale
    for entry, column in noise_model.coefficients:
        scale_of_noise[entry] /= float(conditions.known.covariates[:, column].std())
    seen = ObservedScales.of(observations["y"].values, observed)
    union = Problem(
        data=data,
        simulate=surrogate,
        law=law,
        noise=noise_model,
        scale=np.concatenate([scale, scale_of_noise]),
        seed=seed,
        stage=stage,
        conditions=conditions,
        stated_prior=stated_prior(model.law, model.noise, law, noise_model, seen),
        fixed=tuple(len(law.names) + i for i in noise_model.sizes_of_discrepancy),
    ).through(surrogate)
    return union if members > 1 else at_own_places(union, surrogate)


def at_own_places(union: Problem, simulator: TrainedSurrogate) -> Problem:
    """Return the problem with each system's own places, or itself if that saves little."""
    conditions, count, one = union.conditions, union.replicates, union.noise.of_one
    # A covariance of all places of the union has no meaning at other places, and nor has the factor
    # of a random simulator's covariance.
    joint = one.unrestricted or one.intrinsic or (one.own is not None and count > 1)
    if not conditions.gaps or joint:
        return union
    places = own_places(conditions.present.reshape(len(conditions), count, -1))
    if places is None:
        return union
    data, own = observations_at_places(union.data, conditions, places, count)
    each = places.shape[1]
    placed = replace(
        union,
        data=data,
        noise=replicated_noise(noise_at_places(one, each), count),
        conditions=own,
        union=union,
    )
    return placed.through(simulator)


def _check_censored(
    noise: Noise, data: Rows, conditions: Conditions, replicates: int, observed: xr.Dataset
) -> None:
    """Refuse systems with more censored observations than correlated noise allows.

    Raises
    ------
    DataError
        The message names the system that has most.
    """
    below, above = conditions.limits.censored(np.asarray(data))
    censored = (below | above) & conditions.present
    counts = censored.reshape(len(censored), replicates, -1).sum(axis=2).max(axis=1)
    if noise.independent or counts.max(initial=0) <= MOST_ENTRIES:
        return
    most = int(counts.argmax())
    name = (system_names(observed) or range(len(counts)))[most]
    raise DataError(
        f"system '{name}' has {counts[most]} censored observations, but with correlated noise at "
        f"most {MOST_ENTRIES} of a system are allowed, as the rule for their joint probability is "
        "not accurate for more. Take noise of kind 'isotropic' or 'diagonal', or leave out "
        "observations that are certain to be censored"
    )


def start(model: Model, problem: Problem) -> np.ndarray:
    """Return the unconstrained p = (alpha, gamma) at the start of the study's estimates."""
    alpha = law_values(model.law, model.law.start, model.forward)
    return np.concatenate([alpha, problem.noise.from_natural(model.noise.start_values())])
