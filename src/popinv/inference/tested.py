"""The fitted model of a study, and the systems on which it is tested."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr

from popinv.inference.conditions import Conditions, heldout_observations
from popinv.inference.fitted_samples import FittedModel
from popinv.inference.folds import folds_of
from popinv.inference.problem import Problem
from popinv.inference.residuals import solver_residuals
from popinv.inference.result import estimate_of


def tested_systems(
    problem: Problem, loaded: Mapping[str, xr.Dataset]
) -> tuple[FittedModel, np.ndarray, Conditions]:
    """Return the fitted model, the observations it is compared with, and their conditions.

    Held-out systems of a synthetic study, which the fit has not seen. Otherwise these are systems
    that the fit has seen: the draws about the estimate are then the estimate itself, since it has
    taken up the error that such draws would add.

    Parameters
    ----------
    problem : Problem
        The fitted problem.
    loaded : mapping of str to Dataset
        ``observations``, ``population`` and ``check``.

    Returns
    -------
    FittedModel
    ndarray of shape (n, d_y)
        Missing entries filled.
    Conditions
    """
    observations, population = loaded["observations"], loaded["population"]
    # Systems that were not fitted have other places.
    problem = problem.at_all_places
    heldout, conditions = heldout_observations(observations, problem.conditions)
    p = estimate_of(population)
    draws = np.concatenate([population[f"{n}_draws"].values for n in ("alpha", "gamma")], 1)
    if folds_of(observations):
        draws = p[None]
    return (
        FittedModel(problem, p, draws, solver_residuals(problem, loaded["check"])),
        heldout,
        conditions,
    )
