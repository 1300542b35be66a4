"""Draw the whole states of a few systems, of the population or of the fitted population."""

from __future__ import annotations

import numpy as np
import xarray as xr

from popinv.charts.description import Sheet
from popinv.charts.style import SYSTEMS
from popinv.figures.arrangement import of_one_replicate
from popinv.figures.gallery.systems import draw_systems as draw_states
from popinv.figures.observations import example_systems
from popinv.forward.states import states
from popinv.inference.answer.result import parameters_of
from popinv.population.known import known_of
from popinv.population.model import Model, covariate_names
from popinv.population.synthetic import noise_rows, parameters

# Number of spare systems, in case some cannot be solved.
_SPARE = 20


def draw_systems(
    model: Model,
    observations: xr.Dataset,
    solves: xr.Dataset | None = None,
    population: xr.Dataset | None = None,
    *,
    seed: int,
) -> Sheet:
    """Draw a few systems with the sensors in them.

    Parameters
    ----------
    solves : Dataset, optional
        The solves of a synthetic population, whose systems are drawn.
    population : Dataset, optional
        The answer, whose law the systems are drawn from where there are no such solves.
    seed : int
        The study's seed.
    """
    observations = of_one_replicate(observations)
    if solves is not None:
        return _of_population(model, observations, solves, seed)
    if population is None:
        raise ValueError("systems are taken from solves, or drawn from an answer")
    return _of_answer(model, observations, population, seed)


def _of_population(model: Model, observations: xr.Dataset, solves: xr.Dataset, seed: int) -> Sheet:
    chosen = example_systems(observations["y"].values, len(SYSTEMS))
    # The systems that could be solved were observed, in their order.
    rows = np.flatnonzero(solves["reason"].values == 0)[chosen]
    z, seen = solves["z"].isel(sample=rows), observations.isel(system=chosen)
    title = f"{len(rows)} of {observations.sizes['system']} systems, and what is seen of them"
    whole = states(model.forward, seed, z.values, "solve/truth", rows)
    return draw_states(whole, seen, z, title)


def _of_answer(model: Model, observations: xr.Dataset, population: xr.Dataset, seed: int) -> Sheet:
    stage, count = "gallery", len(SYSTEMS)
    alpha, gamma = parameters_of(population)
    # Drawn systems take the known quantities of observed ones.
    own = known_of(observations)
    known = None if own is None else own.in_turns(count + _SPARE)
    drawn = parameters(model.law.law(model.forward), alpha, seed, stage, count + _SPARE, known)
    solver, description = model.forward.model(seed), model.forward.observed(seed)
    solutions = solver.solve(drawn, stage)
    rows = np.flatnonzero(~solutions.failed)[:count]
    names = {"parameter": [parameter.name for parameter in solver.parameters]}
    z = xr.DataArray(drawn[rows], dims=("system", "parameter"), coords=names)
    covariates = covariate_names(model.law, model.noise)
    noise = model.noise.model(description, covariates)
    # Covariates count from their mean.
    typical = np.zeros((count + _SPARE, len(covariates)))
    xi = noise_rows(noise, gamma, seed, stage, solutions.observations, typical)
    # The drawn systems take the scales and gaps of the user's own.
    taken = np.zeros(len(rows), dtype=int) if own is None else rows % len(own)
    seen = observations.isel(system=taken)
    seen = seen.assign(y=seen["y"].copy(data=(solutions.observations + xi)[rows]))
    title = f"{len(rows)} systems drawn from the recovered population"
    whole = states(model.forward, seed, z.values, stage, rows.tolist())
    return draw_states(whole, seen, z, title)
