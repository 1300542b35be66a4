"""Fit each system separately, then pool the fits."""

from __future__ import annotations

import numpy as np
import xarray as xr

from popinv.baselines.two_stage import two_stage
from popinv.inference.answer.result import answer_dataset, parameters_of
from popinv.inference.answer.stated_values import in_words
from popinv.inference.density.build import descent_problem
from popinv.population.model import Model
from popinv.surrogate.artefact import surrogate_of


def fit_two_stage(
    model: Model,
    observations: xr.Dataset,
    surrogate: xr.Dataset,
    estimate: xr.Dataset,
    *,
    seed: int,
) -> xr.Dataset:
    """Return the law and the noise from the fits of single systems.

    Parameters
    ----------
    estimate : Dataset
        The estimate of the last round, where the fits start.
    seed : int
        The study's seed.
    """
    problem = descent_problem(model, observations, surrogate_of(surrogate), seed, "two_stage")
    pooled = two_stage(problem, parameters_of(estimate))
    print(in_words(problem, np.concatenate([pooled.alpha, pooled.gamma])))
    return answer_dataset(problem, pooled.alpha, pooled.gamma)
