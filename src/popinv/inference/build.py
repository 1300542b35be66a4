"""Construction of the problem of an estimate from a study's model."""

from __future__ import annotations

import numpy as np
import xarray as xr

from popinv.forward.datasets import replicates_of
from popinv.inference.conditions import fitted_observations
from popinv.inference.problem import Problem
from popinv.inference.replicated import replicated_simulator
from popinv.population.laws.values import law_spread, law_values
from popinv.population.model import Model
from popinv.population.noise.replicated import replicated_noise
from popinv.sections.base import plain
from popinv.surrogate.networks import Surrogate

__all__ = ["descent_problem", "start"]

# Scale of a law's entry whose spread is zero; a factor e is a large change of most entries.
_LAW_SCALE = 0.5


def descent_problem(
    model: Model,
    observations: xr.Dataset,
    surrogate: Surrogate,
    seed: int,
    stage: str,
) -> Problem:
    """Return the problem of fitting law and noise to observations through a surrogate.

    Parameters
    ----------
    model : Model
    observations : Dataset
        The study's ``observations.zarr``, with its noise scales and gaps.
    surrogate : Surrogate
    seed, stage : int, str
        Address of the random draws.
    """
    data, conditions = fitted_observations(observations)
    replicates = replicates_of(observations)
    noise_model = replicated_noise(model.noise.noise(model.forward.observed(seed)), replicates)
    # A spread of zero fixes the first design, not the descent.
    spread = law_spread(model.law, model.forward)
    scale = np.where(spread > 0, spread, _LAW_SCALE)
    law = model.law.law(model.forward)
    if conditions is not None and conditions.known is not None:
        deviations = conditions.known.covariates.numpy().std(axis=0)
        for entry, covariate in law.coefficients:
            scale[entry] = _LAW_SCALE / deviations[covariate]
    return Problem(
        data=data,
        simulate=replicated_simulator(surrogate, replicates),
        law=law,
        noise=noise_model,
        scale=np.concatenate([scale, noise_model.scale]),
        seed=seed,
        stage=stage,
        conditions=conditions,
        replicates=replicates,
    )


def start(model: Model, problem: Problem) -> np.ndarray:
    """Return the unconstrained p = (alpha, gamma) at the start of the study's estimates."""
    alpha = law_values(model.law, model.law.start, model.forward)
    return np.concatenate([alpha, problem.noise.from_natural(plain(model.noise.start))])
