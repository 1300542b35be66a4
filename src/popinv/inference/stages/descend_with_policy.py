"""The study's descent with another policy of the gradient."""

from __future__ import annotations

import xarray as xr

from popinv.inference.answer.result import estimate_dataset, estimate_of
from popinv.inference.density.build import descent_problem
from popinv.inference.estimators.fit_distance import fit_distance, starts_near
from popinv.inference.estimators.settings import DescentSettings
from popinv.population.model import Model
from popinv.store.checkpoints import Checkpoint
from popinv.surrogate.artefact import surrogate_of


def descend_with_policy(
    model: Model,
    descent: DescentSettings,
    observations: xr.Dataset,
    surrogate: xr.Dataset,
    estimate: xr.Dataset,
    *,
    seed: int,
    device: str = "cpu",
    checkpoint: Checkpoint | None = None,
) -> xr.Dataset:
    """Return the estimate of the descent alone, with the policy of its settings.

    Parameters
    ----------
    estimate : Dataset
        The estimate of the last round, where the descent starts.
    seed : int
        The study's seed.
    device : {"cpu", "auto", "cuda"}
    checkpoint : Checkpoint, optional
        An interrupted descent continues from there.
    """
    through = surrogate_of(surrogate, device)
    # The stage of the study's own descent: its random numbers and its start are the same.
    problem = descent_problem(model, observations, through, seed, "descent")
    starts = starts_near(problem, estimate_of(estimate), descent.restarts)
    fit = fit_distance(problem, descent, starts, checkpoint, descent.policy)
    return estimate_dataset(problem, fit.estimate)
