"""Repeat the estimate on resampled systems, for confidence intervals."""

from __future__ import annotations

from typing import TYPE_CHECKING

import xarray as xr

from popinv.inference.build import descent_problem
from popinv.inference.choice import choose_estimate
from popinv.inference.resampling import bootstrap
from popinv.inference.result import estimate_of, resamples_dataset
from popinv.inference.settings import DescentSettings, Estimator, PolishSettings
from popinv.population.model import Model
from popinv.surrogate.artefact import surrogate_of

if TYPE_CHECKING:
    from popinv.surrogate.simulator import TrainedSurrogate


def resample_systems(
    model: Model,
    descent: DescentSettings,
    polish: PolishSettings,
    estimator: Estimator,
    distance: xr.Dataset,
    pseudo_likelihood: xr.Dataset,
    likelihood: xr.Dataset,
    observations: xr.Dataset,
    surrogate: xr.Dataset | TrainedSurrogate,
    *,
    seed: int,
    resamples: int,
    device: str = "cpu",
) -> xr.Dataset:
    """Return the study's estimate from each of ``resamples`` resamples of the systems.

    Parameters
    ----------
    descent, polish, estimator : DescentSettings, PolishSettings, str
    distance, pseudo_likelihood, likelihood : Dataset
        The answers of all estimators.
    surrogate : Dataset or TrainedSurrogate
        The forward model itself may take its place.
    seed, resamples : int
        The study's seed, and the number of resamples.
    device : {"cpu", "auto", "cuda"}
    """
    through = surrogate_of(surrogate, device)
    problem = descent_problem(model, observations, through, seed, "bootstrap")
    name, answer = choose_estimate(
        estimator, distance=distance, pseudo_likelihood=pseudo_likelihood, likelihood=likelihood
    )
    p = estimate_of(answer)
    return resamples_dataset(problem, bootstrap(problem, name, p, resamples, descent, polish.draws))
