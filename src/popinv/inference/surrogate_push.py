"""Push of the surrogate's error on a round's estimate, in standard errors."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import xarray as xr

from popinv.inference.likelihood.model_moments import FEWEST_DRAWS
from popinv.inference.likelihood.scores import pseudo_scores
from popinv.inference.problem import Problem
from popinv.inference.result import estimate_of
from popinv.inference.surrogate_bias import FreshSolves, push_of

# Pairs of noises for each solve, and the most solves, each of which is observed so many times.
_PAIRS, _MOST_SOLVES = 4, 4000


def surrogate_push(problem: Problem, estimate: xr.Dataset) -> Callable[[xr.Dataset], float]:
    """Return a function from fresh solves to the push.

    Parameters
    ----------
    problem : Problem
        The problem with the surrogate that is judged.
    estimate : Dataset
        The pseudo-likelihood's estimate through that surrogate.
    """
    p, bread = estimate_of(estimate), estimate["bread"].values
    errors = np.sqrt(np.diag(estimate["covariance"].values))

    def push(solves: xr.Dataset) -> float:
        fresh = FreshSolves.of(solves.isel(sample=slice(_MOST_SOLVES)))
        # As many draws as the estimate had.
        scores = pseudo_scores(problem, p, FEWEST_DRAWS)
        each = push_of(problem, p, scores, fresh, "fresh", _PAIRS)
        moved = len(problem.data) * each.mean(axis=0) @ bread
        known = errors > 0
        return float(np.max(np.abs(moved[known]) / errors[known], initial=0.0))

    return push
