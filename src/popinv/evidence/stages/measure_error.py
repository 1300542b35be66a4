"""Draw data sets of one size from the truth, and estimate from each."""

from __future__ import annotations

from dataclasses import replace

import xarray as xr

from popinv.evidence.convergence import errors_of_repeats
from popinv.evidence.populations import observe_again
from popinv.inference.build import descent_problem
from popinv.inference.estimation import Answer, estimate_population
from popinv.inference.polished import fresh_solves
from popinv.inference.problem import Problem
from popinv.inference.result import estimate_of
from popinv.inference.settings import DescentSettings, Estimator, PolishSettings
from popinv.population.model import Model
from popinv.population.synthetic import parameters
from popinv.surrogate.artefact import surrogate_of

__all__ = ["measure_error"]


def measure_error(
    model: Model,
    descent: DescentSettings,
    polish: PolishSettings,
    estimator: Estimator,
    truth: xr.Dataset,
    surrogate: xr.Dataset,
    population: xr.Dataset,
    check: xr.Dataset,
    solves: xr.Dataset | None = None,
    *,
    seed: int,
    systems: int,
    repeats: int,
    noise_scale: tuple[float, float] | None = None,
) -> xr.Dataset:
    """Return the errors of the estimate on so many new data sets of so many systems.

    Parameters
    ----------
    model : Model
    descent, polish, estimator : DescentSettings, PolishSettings, str
        Estimates go through the surrogate alone.
    truth, surrogate, check : Dataset
    population : Dataset
        The study's answer, where the estimates start.
    solves : Dataset, optional
        The new systems, solved; without it they are observed through the surrogate.
    seed, systems, repeats : int
        The study's seed, systems of a data set, and number of data sets.
    noise_scale : (float, float), optional
        Range of the systems' known noise scales.
    """
    fresh, through = fresh_solves(check), surrogate_of(surrogate)
    covariance, stage = truth["noise_covariance"].values, f"systems_{systems}"
    if solves is not None:
        clean = solves["y"].values
    else:
        alpha, total = truth["alpha"].values, systems * repeats
        clean = through.predict(parameters(model.law.law(model.forward), alpha, seed, stage, total))
        # Data from the surrogate contain none of its error, so there is nothing to correct.
        fresh = replace(fresh, y=through.predict(fresh.z))
    description = model.forward.observed(seed)
    observations = observe_again(clean, covariance, description, seed, stage, noise_scale)
    problem = descent_problem(model, observations, through, seed, f"evidence/{stage}").at_all_places
    settings, start = polish.replace(solver_seconds=0.0), estimate_of(population)

    def estimate(part: Problem) -> Answer:
        return estimate_population(part, estimator, settings, descent, [start], fresh)

    errors = errors_of_repeats(problem, estimate, truth["law"].values, covariance, repeats)
    print(errors[["systems", "law_error", "noise_error"]].to_dataframe().to_string())
    return errors
