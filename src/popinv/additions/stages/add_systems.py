"""Add the systems of a file to a study, and continue its estimates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from popinv.additions.batch import batch_dataset
from popinv.additions.estimates import Continued, errors_at_modes, surrogate_errors
from popinv.additions.further_places import at_further_places
from popinv.additions.joined import joined, not_by_likelihood, read_additions
from popinv.errors import DataError
from popinv.inference.answer.result import estimate_dataset, no_estimate
from popinv.inference.density.build import descent_problem
from popinv.inference.density.solver import SolverSimulator
from popinv.inference.estimators.choice import choose
from popinv.inference.estimators.settings import PolishSettings
from popinv.inference.uncertainty.surrogate_bias import FreshSolves
from popinv.late import torch
from popinv.observation_files.added_tables import Table
from popinv.observation_files.fit import InMemory
from popinv.observation_files.section import FileObservations
from popinv.population.model import Model
from popinv.surrogate.artefact import surrogate_of
from popinv.surrogate.simulator import is_exact

if TYPE_CHECKING:
    from popinv.surrogate.simulator import TrainedSurrogate

# The surrogate's error at an added system may be this factor of its largest error on the study's
# last solves.
_WORSE = 1.5


def add_systems(
    model: Model,
    polish: PolishSettings,
    estimator: str,
    observations: xr.Dataset,
    surrogate: xr.Dataset | TrainedSurrogate,
    distance: xr.Dataset,
    pseudo_likelihood: xr.Dataset,
    likelihood: xr.Dataset,
    check: xr.Dataset,
    observations_section: FileObservations,
    *,
    file: str,
    thresholds: Mapping[str, float],
    seed: int,
    given: InMemory | None = None,
    inputs: Table | None = None,
) -> tuple[xr.Dataset, xr.Dataset, xr.Dataset, xr.Dataset, xr.Dataset]:
    """Return observations and estimates with the systems of a file, and their comparison.

    Parameters
    ----------
    observations : Dataset
        All systems of the study so far.
    surrogate : Dataset or TrainedSurrogate
        The forward model itself may take its place.
    distance, pseudo_likelihood, likelihood : Dataset
        The estimates so far.
    check : Dataset
        The record of solves.
    observations_section : FileObservations
    file : str
        The file of the added systems, or what they are called.
    thresholds : mapping of str to float
        Limits of a good surrogate, as :meth:`popinv.config.study.Study.surrogate_thresholds`.
    seed : int
        The study's seed.
    given : DataFrame or Dataset, optional
        The systems in memory, in the place of the file.
    inputs : Table, optional
        Their table of inputs over time, if the file does not hold them.

    Returns
    -------
    batch, observations, distance, pseudo_likelihood, likelihood : Dataset
        The distance holds only a reason. ``batch`` compares the added systems with the population
        (:func:`popinv.additions.batch.batch_dataset`).

    Raises
    ------
    DataError
        If the file does not fit the study, if the study's answer is no likelihood, or if the
        surrogate is not accurate at the added systems.
    """
    estimates = {
        "distance": distance,
        "pseudo_likelihood": pseudo_likelihood,
        "likelihood": likelihood,
    }
    name, _ = choose(estimates, estimator)
    if name != "likelihood":
        raise DataError(not_by_likelihood(file, name))
    observations = at_further_places(model, observations, file, seed=seed)
    added = read_additions(
        model, observations_section, observations, file, seed=seed, given=given, inputs=inputs
    )
    whole = joined(observations, added)
    print(f"{added.sizes['system']} systems join {observations.sizes['system']}")
    through = surrogate_of(surrogate)
    problem = descent_problem(model, whole, through, seed, "polish")
    exact = is_exact(through)
    by_solver = likelihood.attrs["through"] == "solver" and not exact
    if problem.law.component is not None and not (exact or by_solver):
        raise DataError(
            f"{file}: the surrogate is not judged at systems of a mixture, whose modes are many. "
            "Put the rows into the study's own file, and run it again."
        )
    solver = None if exact else SolverSimulator(model.forward.model(seed))
    going_on = Continued(problem, added.sizes["system"], polish, solver if by_solver else None)
    estimate, before = going_on.likelihood(likelihood)
    batch = batch_dataset(going_on, likelihood, estimate, before)
    print(batch.attrs["statement"])
    if solver is not None and not by_solver:
        last = FreshSolves.of_last_round(check)
        known = surrogate_errors(problem, torch.from_numpy(last.z), last.y, likelihood)
        limit = max(thresholds["error"], _WORSE * float(known.max(initial=0.0)))
        batch = batch.assign_attrs(
            surrogate_error=checked_surrogate(going_on, likelihood, before, solver, limit, file)
        )
    moments = going_on.pseudo_likelihood(pseudo_likelihood)
    told = {"through": pseudo_likelihood.attrs["through"]}
    of_moments = estimate_dataset(problem, moments, told)
    of_moments["surrogate_shift"] = pseudo_likelihood["surrogate_shift"]
    return (
        batch,
        whole,
        no_estimate(problem, "it is of the first systems alone; additions leave it out"),
        of_moments,
        estimate_dataset(problem, estimate, {"through": likelihood.attrs["through"]}),
    )


def checked_surrogate(
    going_on: Continued,
    last: xr.Dataset,
    before: Mapping[str, np.ndarray],
    solver: SolverSimulator,
    limit: float,
    file: str,
) -> float:
    """Return the surrogate's error at the added systems, if it is small enough."""
    few = going_on.problem.of_systems(going_on.numbers)
    errors = errors_at_modes(few, going_on.last_p(last), before["modes"], last, solver)
    error, largest = float(np.sqrt(np.mean(errors**2))), float(errors.max())
    print(f"the surrogate's error at the added systems is {error:.2g} noise standard deviations")
    if not largest <= limit:
        raise DataError(
            f"{file}: at an added system the surrogate's error is {largest:.2g} standard "
            f"deviations of the noise, and {limit:.2g} is allowed: it lies where the surrogate was "
            "not trained. Put the rows into the study's own file, and run it again; the surrogate "
            "is then trained there."
        )
    return error
