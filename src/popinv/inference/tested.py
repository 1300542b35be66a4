"""The fitted model of a study, and the systems on which it is tested."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr

from popinv.inference.conditions import Conditions, heldout_observations
from popinv.inference.fitted_samples import FittedModel
from popinv.inference.folds import folds_of, wider
from popinv.inference.problem import Problem
from popinv.inference.residuals import solver_residuals
from popinv.inference.result import estimate_of

__all__ = ["tested_systems"]


def tested_systems(
    problem: Problem, loaded: Mapping[str, xr.Dataset]
) -> tuple[FittedModel, np.ndarray, Conditions | None]:
    """Return the fitted model, the tested observations, and their conditions.

    Parameters
    ----------
    problem : Problem
        The fitted problem.
    loaded : mapping of str to Dataset
        ``observations``, ``population`` and ``check``; ``without_tested`` if the tested systems
        are among those learned from.

    Returns
    -------
    FittedModel
        Without the tested systems, where they are among those learned from.
    ndarray of shape (n, d_y)
        Missing entries filled.
    Conditions or None
    """
    observations, population = loaded["observations"], loaded["population"]
    heldout, conditions = heldout_observations(observations, problem.conditions)
    draws = np.concatenate([population[f"{n}_draws"].values for n in ("alpha", "gamma")], 1)
    p, folds = estimate_of(population), folds_of(observations)
    without_fold = loaded["without_tested"]["p"].values if folds else None
    residuals = solver_residuals(problem, loaded["check"])
    model = FittedModel(
        problem,
        p,
        wider(draws, p, folds),
        residuals,
        without_fold,
    )
    return model, heldout, conditions
