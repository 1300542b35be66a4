"""Pseudo-likelihood and likelihood of law and noise, after the rounds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from popinv.inference.answer.result import estimate_of
from popinv.inference.density.build import descent_problem, start
from popinv.inference.density.solver import SolverSimulator
from popinv.inference.estimators.polish import (
    likelihood_dataset,
    may_solve,
    pseudo_likelihood_dataset,
)
from popinv.inference.estimators.polish import polish as both_likelihoods
from popinv.inference.estimators.settings import PolishSettings
from popinv.inference.uncertainty.surrogate_bias import FreshSolves
from popinv.population.model import Model
from popinv.store.checkpoints import Checkpoint
from popinv.surrogate.artefact import surrogate_of
from popinv.surrogate.simulator import is_exact

if TYPE_CHECKING:
    from popinv.surrogate.simulator import TrainedSurrogate


def maximise_likelihoods(
    model: Model,
    polish: PolishSettings,
    observations: xr.Dataset,
    surrogate: xr.Dataset | TrainedSurrogate,
    estimate: xr.Dataset,
    check: xr.Dataset,
    *,
    seed: int,
    likelihood: bool = True,
    seconds_per_solve: float = np.inf,
    device: str = "cpu",
    checkpoint: Checkpoint | None = None,
) -> tuple[xr.Dataset, xr.Dataset]:
    """Return the estimates of the pseudo-likelihood and of the likelihood.

    Parameters
    ----------
    surrogate : Dataset or TrainedSurrogate
        The forward model itself may take its place.
    estimate : Dataset
        The estimate of the last round.
    check : Dataset
        The record of solves, whose last round the surrogate has not seen.
    seed : int
        The study's seed.
    likelihood : bool
        Whether to compute the marginal likelihood.
    seconds_per_solve : float
        Nominal cost of a solve; the forward model itself is used where the settings allow it.
    device : {"cpu", "auto", "cuda"}
    checkpoint : Checkpoint, optional
        An interrupted ascent continues from there.

    Returns
    -------
    pseudo_likelihood, likelihood : Dataset
        The second holds only a reason where there is no such estimate.
    """
    through = surrogate_of(surrogate, device)
    problem = descent_problem(model, observations, through, seed, "polish")
    solver = None
    if not is_exact(through) and may_solve(problem, polish, seconds_per_solve):
        solver = SolverSimulator(model.forward.model(seed))
    polished = both_likelihoods(
        problem,
        polish,
        [estimate_of(estimate), start(model, problem)],
        FreshSolves.of_last_round(check),
        solver,
        seconds_per_solve,
        checkpoint,
        likelihood=likelihood,
        divided=True,
    )
    return pseudo_likelihood_dataset(problem, polished), likelihood_dataset(problem, polished)
