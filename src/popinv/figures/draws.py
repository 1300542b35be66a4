"""Draws from the recovered and the true law, in the terms in which figures show them."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import xarray as xr

from popinv.figures.law import FieldDraws, MarginalDraws
from popinv.figures.solver import Plane
from popinv.forward.build import field
from popinv.forward.fields import Field
from popinv.inference.problem import Problem
from popinv.inference.result import parameters_of
from popinv.seeds import generator

__all__ = ["field_of", "law_draws", "noise_free_covariance", "plane"]

_DRAWS = 5000
_DENSITY_DRAWS = 20000
_LINE = 101
_SIDE = 48
_EXAMPLES = 3
# Points of the domain over which a field is averaged.
_QUADRATURE = {1: 99, 2: 24}
_MARGINALS = 4


def field_of(population: xr.Dataset) -> tuple[Field, int] | None:
    """Return the study's log-permeability field and its dimension, None if it has no such field."""
    forward: Mapping[str, Any] = json.loads(population.attrs.get("config", "{}")).get("forward", {})
    found = field(forward) if forward else None
    return None if found is None else (found, int(forward["dimension"]))


def _omega(problem: Problem, count: int) -> np.ndarray:
    return generator(problem.seed, "figures/draws").standard_normal((count, problem.law.d_omega))


def _parameters(problem: Problem, alpha: np.ndarray, omega: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return problem.law.sample(torch.from_numpy(alpha), torch.from_numpy(omega)).numpy()


def _grid(side: int, dimension: int) -> np.ndarray:
    line = (np.arange(side) + 0.5) / side
    return np.array(list(itertools.product(line, repeat=dimension)))


def law_draws(
    problem: Problem, population: xr.Dataset, truth: xr.Dataset | None, names: list[str]
) -> FieldDraws | MarginalDraws:
    """Draw from the recovered and the true law, with the same random numbers.

    Parameters
    ----------
    names : list of str
        The parameters of the forward model.
    """
    omega = _omega(problem, _DENSITY_DRAWS)
    recovered = _parameters(problem, parameters_of(population)[0], omega)
    true = None if truth is None else _parameters(problem, truth["alpha"].values, omega)
    found = field_of(population)
    if found is None:
        chosen = np.sort(np.argsort(-recovered.std(axis=0), kind="stable")[:_MARGINALS])
        return MarginalDraws(
            names=tuple(names[i] for i in chosen),
            recovered=recovered[:, chosen],
            true=None if true is None else true[:, chosen],
        )
    field, dimension = found
    line = np.linspace(0, 1, _LINE)
    points = np.column_stack([line, np.full((_LINE, dimension - 1), 0.5)])
    basis = field.basis(points)
    squares = None
    if dimension == 2:
        square = field.basis(_grid(_SIDE, 2))

        def maps(z: np.ndarray) -> np.ndarray:
            values = field.evaluate(z[:_EXAMPLES], square).reshape(-1, _SIDE, _SIDE)
            # Images have y along their rows.
            return values.transpose(0, 2, 1)

        squares = (maps(recovered), None if true is None else maps(true))
    middle = field.basis(np.full((1, dimension), 0.5))
    return FieldDraws(
        points=line,
        recovered=field.evaluate(recovered[:_DRAWS], basis),
        true=None if true is None else field.evaluate(true[:_DRAWS], basis),
        recovered_middle=field.evaluate(recovered, middle)[:, 0],
        true_middle=None if true is None else field.evaluate(true, middle)[:, 0],
        squares=squares,
    )


def plane(problem: Problem, population: xr.Dataset, check: xr.Dataset, names: list[str]) -> Plane:
    """Place solves and population in two readable quantities.

    A field is placed by its means over the first and the last third of the domain (halves would
    not do: the mean over the whole domain is the same for all systems of some laws); other
    systems by the two parameters that vary most among the solves.
    """
    z = check["z"].values
    drawn = _parameters(problem, parameters_of(population)[0], _omega(problem, _DENSITY_DRAWS))
    found = field_of(population)
    if found is None:
        deviation = np.nanstd(z, axis=0)
        chosen = np.sort(np.argsort(-deviation, kind="stable")[:2])
        # A single parameter is shown against itself.
        chosen = np.resize(chosen, 2)
        labels = (names[chosen[0]].replace("_", " "), names[chosen[1]].replace("_", " "))
        return Plane(labels, z[:, chosen], drawn[:, chosen])
    field, dimension = found
    points = _grid(_QUADRATURE[dimension], dimension)
    basis = field.basis(points)
    first, last = points[:, 0] < 1 / 3, points[:, 0] > 2 / 3

    def place(parameters: np.ndarray) -> np.ndarray:
        a = field.evaluate(parameters, basis)
        return np.column_stack([a[:, first].mean(axis=1), a[:, last].mean(axis=1)])

    labels = ("mean log-permeability, x < 1/3", "mean log-permeability, x > 2/3")
    return Plane(labels, place(z), place(drawn))


def noise_free_covariance(problem: Problem, population: xr.Dataset) -> np.ndarray:
    """Return the covariance of the fitted model's observations without noise, (d_y, d_y)."""
    z = _parameters(problem, parameters_of(population)[0], _omega(problem, _DRAWS))
    with torch.no_grad():
        y = problem.simulate(torch.from_numpy(z)).numpy()
    return np.atleast_2d(np.cov(y, rowvar=False))
