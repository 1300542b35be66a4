"""Residuals of the surrogate on fresh solves."""

from __future__ import annotations

import numpy as np
import torch
import xarray as xr

from popinv.inference.problem import Problem
from popinv.inference.surrogate_bias import FreshSolves
from popinv.surrogate.simulator import is_exact


def solver_residuals(problem: Problem, check: xr.Dataset) -> np.ndarray | None:
    """Return G(z) - S(z) of the solves of the last round of a record, shape (K, d_y).

    They are those at all places. None if there are no solves, or if the problem has the forward
    model itself.
    """
    problem = problem.at_all_places
    if is_exact(problem.simulate):
        return None
    fresh = FreshSolves.of_last_round(check)
    if not len(fresh.y):
        return None
    with torch.no_grad():
        return problem.replicated(fresh.y) - problem.simulate(torch.from_numpy(fresh.z)).numpy()
