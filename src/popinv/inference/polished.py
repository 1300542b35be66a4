"""What the polish reads and leaves, as Datasets."""

from __future__ import annotations

import numpy as np
import xarray as xr

from popinv.artefacts import law_and_noise_coordinates, variable
from popinv.inference.polish import Polished
from popinv.inference.problem import Problem
from popinv.inference.result import estimate_dataset, estimated_coordinate
from popinv.inference.surrogate_bias import FreshSolves

__all__ = ["fresh_solves", "likelihood_dataset", "pseudo_likelihood_dataset"]


def fresh_solves(check: xr.Dataset) -> FreshSolves:
    """Return the solves of the last round of a record of solves that did not fail."""
    last = check["round"].values == check["round"].values.max()
    rows = np.flatnonzero(last & (check["reason"].values == 0))
    return FreshSolves(check["z"].values[rows], check["y"].values[rows])


def pseudo_likelihood_dataset(problem: Problem, found: Polished) -> xr.Dataset:
    """Return the pseudo-likelihood's estimate, and what the surrogate's error did to it."""
    name = "pseudo_likelihood"
    dataset = estimate_dataset(problem, found.pseudo_likelihood, {"through": found.through[name]})
    dataset["surrogate_shift"] = variable(
        "estimated", found.surrogate_shift, "by how much the surrogate's error moves the estimate"
    )
    return dataset


def likelihood_dataset(problem: Problem, found: Polished) -> xr.Dataset:
    """Return the likelihood's estimate; without one, only why there is none."""
    if found.likelihood is None:
        return xr.Dataset(
            coords={
                **law_and_noise_coordinates(problem.law.names, problem.noise.names),
                **estimated_coordinate(problem),
            },
            attrs={"passes": 0, "arrived": 0, "reason": found.reason, "through": "nothing"},
        )
    return estimate_dataset(problem, found.likelihood, {"through": found.through["likelihood"]})
