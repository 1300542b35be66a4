"""Observe a solved synthetic population through noise."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from popinv.observation_files.limits import stated_limits, states_limits
from popinv.population.laws.values import law_values
from popinv.population.limits import limits_of
from popinv.population.model import Model, covariate_names
from popinv.population.noise.replicated import replicated_noise
from popinv.population.observe import observe_through_noise, without_systems
from popinv.population.synthetic import noise_rows
from popinv.population.synthetic_known import synthetic_known
from popinv.population.truth import truth_dataset

if TYPE_CHECKING:
    from popinv.population.sections import SyntheticObservations

__all__ = ["observe_population"]


def observe_population(
    model: Model,
    observations: SyntheticObservations,
    solves: xr.Dataset,
    *,
    seed: int,
) -> tuple[xr.Dataset, xr.Dataset]:
    """Add noise to the solves of a population and hold some systems out.

    Parameters
    ----------
    model : Model
    observations : SyntheticObservations
        Numbers of systems, and the truth, whose noise may come from another family.
    solves : Dataset
        The population, solved.
    seed : int
        The study's seed.

    Returns
    -------
    observations, truth : Dataset
    """
    description, truth = model.forward.observed(seed), observations.truth
    clean, replicates = solves["y"].values, observations.replicates
    scales = observations.noise_scale
    design = model.forward.design_names()
    covariates = covariate_names(model.law, model.noise, truth.noise_model)
    noise_model = (truth.noise_model or model.noise).model(description, covariates)
    gamma = noise_model.from_natural(truth.noise)
    known = synthetic_known(observations, design, covariates, seed, len(clean))
    of_systems = None if known is None else known.covariates
    each = replicated_noise(noise_model, replicates)
    repeated = clean if replicates == 1 else np.tile(clean, (1, replicates))
    xi = noise_rows(each, gamma, seed, "truth", repeated, of_systems)
    limits = None
    if states_limits(observations):
        ends = stated_limits(observations, description, len(clean), replicates)
        limits = limits_of(ends, description)
    seen = observe_through_noise(
        clean,
        xi,
        description,
        seed,
        "truth",
        observations.heldout,
        None if scales is None else (scales.low, scales.high),
        known,
        design,
        covariates,
        limits,
        replicates,
    )
    # Many systems are not kept for nothing.
    del xi, repeated
    alpha = law_values(model.law, truth.law, model.forward)
    right = solves["reason"].values == 0
    solved = solves if right.all() else solves.isel(sample=right)
    law = model.law.law(model.forward)
    kept = None if of_systems is None else of_systems[solves["reason"].values == 0]
    if observations.without:
        count = seen.sizes["system"]
        seen, left = without_systems(seen, observations.without)
        rows = np.concatenate([left, np.arange(count, solved.sizes["sample"])])
        solved, kept = solved.isel(sample=rows), None if kept is None else kept[rows]
    return seen, truth_dataset(law, alpha, noise_model, gamma, solved, kept)
