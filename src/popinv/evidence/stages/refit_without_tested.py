"""Refit the answer without the systems that it is tested on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import xarray as xr

from popinv.inference.answer.result import draws_of_answer
from popinv.inference.answer.stated_values import in_words
from popinv.inference.checks.folds import folds_of
from popinv.inference.density.build import descent_problem
from popinv.inference.density.solver import SolverSimulator
from popinv.inference.estimators.settings import DescentSettings, PolishSettings
from popinv.inference.uncertainty.leave_out import refit_dataset, refits
from popinv.population.model import Model
from popinv.surrogate.artefact import surrogate_of
from popinv.surrogate.simulator import is_exact

if TYPE_CHECKING:
    from popinv.surrogate.simulator import TrainedSurrogate


def refit_without_tested(
    model: Model,
    descent: DescentSettings,
    polish: PolishSettings,
    observations: xr.Dataset,
    surrogate: xr.Dataset | TrainedSurrogate,
    population: xr.Dataset,
    *,
    seed: int,
    device: str = "cpu",
) -> xr.Dataset:
    """Return the answer without each fold of the tested systems.

    Parameters
    ----------
    descent, polish : DescentSettings, PolishSettings
    surrogate : Dataset or TrainedSurrogate
        The forward model itself may take its place.
    population : Dataset
        The answer, learned from all systems.
    seed : int
        The study's seed.
    device : {"cpu", "auto", "cuda"}
    """
    through = surrogate_of(surrogate, device)
    # With the answer's draws, its maximum is the maximum for all systems.
    problem = descent_problem(model, observations, through, seed, "polish")
    folds = folds_of(observations)
    draws = draws_of_answer(population, polish.draws)
    solver = None
    by_solver = population.attrs["through"] == "solver" and not is_exact(through)
    if by_solver and population.attrs["estimator"] == "likelihood":
        solver = SolverSimulator(model.forward.model(seed))
    found = refits(problem, population, folds, descent, draws, solver)
    for rows, p in zip(folds, found.p, strict=True):
        print(f"without {len(rows)} of {len(problem.data)} systems: {in_words(problem, p)}")
    return refit_dataset(problem, found, population)
