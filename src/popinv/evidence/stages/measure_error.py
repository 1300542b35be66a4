"""Draw data sets of one size from the truth, and estimate from each."""

from __future__ import annotations

from dataclasses import replace

import xarray as xr

from popinv.evidence.convergence import errors_of_repeats
from popinv.inference.answer.result import estimate_of
from popinv.inference.density.build import descent_problem
from popinv.inference.density.problem import Problem
from popinv.inference.estimators.estimation import NamedEstimate, estimate_population
from popinv.inference.estimators.settings import DescentSettings, Estimator, PolishSettings
from popinv.inference.uncertainty.surrogate_bias import FreshSolves
from popinv.population.known import Known
from popinv.population.model import Model
from popinv.population.sections import SyntheticObservations
from popinv.population.synthetic import parameters
from popinv.population.synthetic_observed import known_of_systems, observed_systems
from popinv.surrogate.artefact import surrogate_of


def measure_error(
    model: Model,
    descent: DescentSettings,
    polish: PolishSettings,
    estimator: Estimator,
    observations_section: SyntheticObservations,
    truth: xr.Dataset,
    observations: xr.Dataset,
    surrogate: xr.Dataset,
    population: xr.Dataset,
    check: xr.Dataset,
    solves: xr.Dataset | None = None,
    *,
    seed: int,
    systems: int,
    repeats: int,
) -> xr.Dataset:
    """Return the errors of the estimate on new data sets of a given number of systems.

    The new systems are observed as the study's: with design, covariates, replicates, noise scales,
    limits and noise as the study states them.

    Parameters
    ----------
    descent, polish, estimator : DescentSettings, PolishSettings, str
        Estimates go through the surrogate alone.
    observations_section : SyntheticObservations
        The study's section ``observations``.
    population : Dataset
        The study's answer, where the estimates start.
    solves : Dataset, optional
        The new systems, solved; without it they are observed through the surrogate.
    seed, systems, repeats : int
        The study's seed, systems of a data set, and number of data sets.
    """
    through = surrogate_of(surrogate)
    of_study = descent_problem(model, observations, through, seed, "evidence")
    fresh, stage, total = FreshSolves.of_last_round(check), f"systems_{systems}", systems * repeats
    if solves is not None:
        clean = solves["y"].values
    else:
        alpha = truth["alpha"].values
        columns = known_of_systems(model, observations_section, seed, total)
        known = None if columns is None else Known.of_arrays(columns.design, columns.covariates)
        z = parameters(of_study.law, alpha, seed, stage, total, known)
        clean = through.predict(of_study.inputs_apart(z))
        # Data from the surrogate contain none of its error, so there is nothing to correct.
        fresh = replace(fresh, y=through.predict(fresh.z))
    fresh, clean = fresh.with_conditions_of(of_study), clean.reshape(total, -1)
    anew = observed_systems(model, observations_section, clean, seed=seed, stage=stage)
    problem = descent_problem(model, anew, through, seed, f"evidence/{stage}").at_all_places
    settings, start = polish.replace(solver_seconds=0.0), estimate_of(population)

    def estimate(part: Problem) -> NamedEstimate:
        return estimate_population(part, estimator, settings, descent, [start], fresh)

    true_covariance = truth["noise_covariance"].values
    errors = errors_of_repeats(problem, estimate, truth["law"].values, true_covariance, repeats)
    print(errors[["systems", "law_error", "noise_error"]].to_dataframe().to_string())
    return errors
