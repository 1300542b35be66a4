"""Gather the answer: the best estimate, its intervals, and its agreement with the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import xarray as xr

from popinv.inference.answer.dataset import population_dataset
from popinv.inference.density.build import descent_problem
from popinv.inference.estimators.settings import Estimator
from popinv.population.model import Model
from popinv.surrogate.artefact import surrogate_of

if TYPE_CHECKING:
    from popinv.surrogate.simulator import TrainedSurrogate


def gather_answer(
    model: Model,
    estimator: Estimator,
    observations: xr.Dataset,
    surrogate: xr.Dataset | TrainedSurrogate,
    distance: xr.Dataset,
    pseudo_likelihood: xr.Dataset,
    likelihood: xr.Dataset,
    sampling_error: xr.Dataset | None = None,
    *,
    seed: int,
) -> xr.Dataset:
    """Return the answer of the study.

    Parameters
    ----------
    model, estimator : Model, str
    surrogate : Dataset or TrainedSurrogate
        The forward model itself may take its place.
    distance, pseudo_likelihood, likelihood : Dataset
        The answers of all estimators.
    sampling_error : Dataset, optional
        The sampling error of the forward model.
    seed : int
        The study's seed.
    """
    problem = descent_problem(model, observations, surrogate_of(surrogate), seed, "assess")
    estimates = {
        "distance": distance,
        "pseudo_likelihood": pseudo_likelihood,
        "likelihood": likelihood,
        "sampling_error": sampling_error,
    }
    known = {name: estimate for name, estimate in estimates.items() if estimate is not None}
    population = population_dataset(problem, known, estimator)
    if "added" in observations.attrs:
        population = population.assign_attrs(added=observations.attrs["added"])
    print(
        f"estimator of the answer: {population.attrs['estimator'].replace('_', ' ')}, "
        f"{population.attrs['estimator_reason']}"
    )
    return population
