"""Inputs and results of the polish, as Datasets."""

from __future__ import annotations

import numpy as np
import xarray as xr

from popinv.forward.datasets import law_and_noise_coordinates
from popinv.inference.polish import Polished
from popinv.inference.problem import Problem
from popinv.inference.result import estimate_dataset, estimated_coordinate
from popinv.inference.surrogate_bias import FreshSolves
from popinv.store.variables import variable


def fresh_solves(check: xr.Dataset) -> FreshSolves:
    """Return the successful solves of the last round of a record of solves."""
    last = check["round"].values == check["round"].values.max()
    rows = np.flatnonzero(last & (check["reason"].values == 0))
    return FreshSolves.of(check.isel(sample=rows))


def pseudo_likelihood_dataset(problem: Problem, polished: Polished) -> xr.Dataset:
    """Return the pseudo-likelihood's estimate and its shift by the surrogate's error."""
    name = "pseudo_likelihood"
    dataset = estimate_dataset(
        problem, polished.pseudo_likelihood, {"through": polished.through[name]}
    )
    dataset["surrogate_shift"] = variable(
        "estimated",
        polished.surrogate_shift,
        "by how much the surrogate's error moves the estimate",
    )
    return dataset


def likelihood_dataset(problem: Problem, polished: Polished) -> xr.Dataset:
    """Return the likelihood's estimate, or only the reason why there is none."""
    if polished.likelihood is None:
        return no_estimate(problem, polished.reason)
    return estimate_dataset(
        problem, polished.likelihood, {"through": polished.through["likelihood"]}
    )


def no_estimate(problem: Problem, reason: str) -> xr.Dataset:
    """Return the Dataset of an estimator that has no estimate, with the reason in words."""
    return xr.Dataset(
        coords={
            **law_and_noise_coordinates(problem.law.names, problem.noise.names),
            **estimated_coordinate(problem),
        },
        attrs={"passes": 0, "arrived": 0, "reason": reason, "through": "nothing"},
    )
