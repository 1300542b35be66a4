"""The coupled descent on law and noise."""

from __future__ import annotations

from typing import TYPE_CHECKING

import xarray as xr

from popinv.errors import DivergenceError
from popinv.inference.answer.result import estimate_dataset, estimate_of, no_estimate
from popinv.inference.answer.stated_values import in_words
from popinv.inference.density.build import descent_problem
from popinv.inference.estimators.fit_distance import fit_distance, starts_near
from popinv.inference.estimators.settings import DescentSettings
from popinv.inference.uncertainty.scores import distance_scores
from popinv.inference.uncertainty.surrogate_bias import FreshSolves, corrected
from popinv.population.model import Model
from popinv.sections.systems import FEWEST_TESTED
from popinv.store.checkpoints import Checkpoint
from popinv.surrogate.artefact import surrogate_of

if TYPE_CHECKING:
    from popinv.surrogate.simulator import TrainedSurrogate


def deconvolve(
    model: Model,
    descent: DescentSettings,
    observations: xr.Dataset,
    surrogate: xr.Dataset | TrainedSurrogate,
    estimate: xr.Dataset,
    check: xr.Dataset,
    *,
    seed: int,
    device: str = "cpu",
    checkpoint: Checkpoint | None = None,
) -> xr.Dataset:
    """Return the estimate of the coupled descent, corrected for the surrogate's error.

    Parameters
    ----------
    surrogate : Dataset or TrainedSurrogate
        The forward model itself may take its place.
    estimate : Dataset
        The estimate of the last round, where the descent starts.
    check : Dataset
        The record of solves, whose last round the surrogate has not seen.
    seed : int
        The study's seed.
    device : {"cpu", "auto", "cuda"}
    checkpoint : Checkpoint, optional
        An interrupted descent continues from there.
    """
    through = surrogate_of(surrogate, device)
    problem = descent_problem(model, observations, through, seed, "descent").of_distance
    if problem.count < FEWEST_TESTED:
        reason = (
            f"it compares the distribution of at least {FEWEST_TESTED} systems; crossed levels "
            f"join the members into {problem.count}"
        )
        return no_estimate(problem, reason)
    starts = starts_near(problem, estimate_of(estimate), descent.restarts)
    try:
        fit = fit_distance(problem, descent, starts, checkpoint)
    except DivergenceError as error:
        # The likelihood may have an answer all the same.
        return no_estimate(problem, f"it diverged: {error}")
    best = fit.estimate
    if fit.influence is not None:
        scores, fresh = distance_scores(fit.influence), FreshSolves.of_last_round(check)
        best = corrected(problem, best, scores, fresh, "descent/fresh", pairs=4)
    losses = {"loss": fit.loss, "fixed_loss": fit.fixed_loss}
    dataset = estimate_dataset(problem, best, losses=losses)
    print(f"{fit.estimate.reason or 'the descent has converged'}: {in_words(problem, best.p)}")
    return dataset
