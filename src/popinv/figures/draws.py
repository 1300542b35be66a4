"""Draws from the recovered and the true law, as quantities for figures."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import xarray as xr

from popinv.charts.style import axis_label, readable
from popinv.figures.law import EXAMPLES, FieldDraws, MarginalDraws
from popinv.figures.marginals import Marginal, is_wide
from popinv.figures.pairs import Correlations, PairDraws, correlations_of
from popinv.figures.solver import Plane
from popinv.forward.base import Parameter
from popinv.forward.fields import Field
from popinv.forward.section import ForwardSection, forward_section
from popinv.inference.answer.result import parameters_of
from popinv.inference.density.problem import Problem
from popinv.inference.integrate.moments import matched_normals
from popinv.late import torch
from popinv.population.known import inputs
from popinv.seeds import generator

_DRAWS = 5000
_DENSITY_DRAWS = 20000
_LINE = 101
_SIDE = 48
# Number of points over which a field is averaged.
_QUADRATURE = {1: 99, 2: 12}
_MARGINALS = 6
# Laws about the estimate, for intervals of densities and correlations, and draws of each.
_VARIED, _VARIED_DRAWS = 100, 4000
# A field with a longer name has only its name in the label of an axis.
_LONG_NAME = 18


def _forward(population: xr.Dataset) -> ForwardSection | None:
    given = json.loads(population.attrs.get("config", "{}")).get("forward")
    return forward_section(given) if given else None


def field_of(population: xr.Dataset) -> tuple[Field, int] | None:
    """Return the random field of the study and its dimension, or None if it has none."""
    forward = _forward(population)
    random_field = forward.random_field() if forward else None
    return None if random_field is None else (random_field, random_field.dimension)


def described_parameters(population: xr.Dataset, names: list[str]) -> list[Parameter]:
    """Return the parameters of the forward model, in the order of z."""
    forward = _forward(population)
    return list(forward.parameters()) if forward else [Parameter(name) for name in names]


def _most_varied(z: np.ndarray, most: int) -> np.ndarray:
    """Return the columns that vary most, relative to their size, in their order."""
    spread, mean = np.nanstd(z, axis=0), np.nanmean(z, axis=0)
    # The denominator vanishes only for a column of zeros, which does not vary.
    variation = spread / np.maximum(np.abs(mean) + spread, 1e-300)
    # The earlier of two columns that are equal up to rounding comes first.
    return np.sort(np.argsort(-variation.round(6), kind="stable")[:most])


def _omega(problem: Problem, count: int) -> np.ndarray:
    return generator(problem.seed, "figures/draws").standard_normal((count, problem.law.d_omega))


def _parameters(problem: Problem, alpha: np.ndarray, omega: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        known = problem.known.in_turns(len(omega))
        every = inputs(problem.law, torch.from_numpy(alpha), torch.from_numpy(omega), known)
        return problem.of_one_member(every[:, : problem.law.d_z].numpy())


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
    described = described_parameters(population, names)

    def marginal(i: int) -> Marginal:
        column = None if true is None else true[:, i]
        return Marginal(described[i].name, described[i].units, recovered[:, i], column)

    random_field = field_of(population)
    if random_field is None:
        chosen = _most_varied(recovered, _MARGINALS)
        varied = _varied(problem, population)
        shown, pairs = tuple(marginal(i) for i in chosen), None
        if varied is not None:
            places = zip(shown, chosen, strict=True)
            shown = tuple(replace(each, varied=varied[..., i]) for each, i in places)
        if problem.law.joint and len(chosen) > 1:
            pairs = PairDraws(shown, _correlations(problem, population, truth, varied, chosen))
        return MarginalDraws(shown, len(described), pairs)
    field, dimension = random_field
    line = np.linspace(0, 1, _LINE)
    points = np.column_stack([line, np.full((_LINE, dimension - 1), 0.5)])
    basis = field.basis(points)
    squares = None
    if dimension == 2:
        square = field.basis(_grid(_SIDE, 2))

        def maps(z: np.ndarray) -> np.ndarray:
            values = field.evaluate(z[:EXAMPLES], square).reshape(-1, _SIDE, _SIDE)
            # Images have y along their rows.
            return values.transpose(0, 2, 1)

        squares = (maps(recovered), None if true is None else maps(true))
    middle = field.basis(np.full((1, dimension), 0.5))
    own = len(field.parameters)
    true_middle = None if true is None else field.evaluate(true, middle)[:, 0]
    return FieldDraws(
        quantity=field.quantity,
        points=line,
        recovered=field.evaluate(recovered[:_DRAWS], basis),
        true=None if true is None else field.evaluate(true[:_DRAWS], basis),
        middle=Marginal(field.quantity, "1", field.evaluate(recovered, middle)[:, 0], true_middle),
        beside=tuple(marginal(i) for i in range(own, len(described))),
        squares=squares,
    )


def _varied(problem: Problem, population: xr.Dataset) -> np.ndarray | None:
    """Return draws of the recovered law and of laws about it, (1 + K, n, d_z), or None."""
    if "alpha_draws" not in population:
        return None
    alphas = population["alpha_draws"].values
    # Draws are taken evenly over all, because draws from resamples are ordered.
    kept = np.linspace(0, len(alphas) - 1, min(len(alphas), _VARIED)).astype(int)
    omega = matched_omega(problem, _VARIED_DRAWS).numpy()
    every = [parameters_of(population)[0], *alphas[kept]]
    drawn = np.array([_parameters(problem, alpha, omega) for alpha in every])
    return drawn[np.isfinite(drawn).all(axis=(1, 2))]


def matched_omega(problem: Problem, count: int) -> torch.Tensor:
    """Return about ``count`` standard normal numbers of the law, with matched moments, (n, d)."""
    rng, width = generator(problem.seed, "figures/matched"), problem.law.d_omega
    return matched_normals(rng, max(count // 2, width), width)


def _correlations(
    problem: Problem,
    population: xr.Dataset,
    truth: xr.Dataset | None,
    varied: np.ndarray | None,
    chosen: np.ndarray,
) -> Correlations:
    """Return the correlations of the chosen parameters after their transforms."""

    def transformed(z: np.ndarray) -> np.ndarray:
        return problem.law.unbounded(torch.from_numpy(z)).numpy()[..., chosen]

    omega = matched_omega(problem, _VARIED_DRAWS).numpy()
    estimate = transformed(_parameters(problem, parameters_of(population)[0], omega))
    true = None
    if truth is not None:
        true = transformed(_parameters(problem, truth["alpha"].values, omega))
    others = None if varied is None else np.array([transformed(z) for z in varied[1:]])
    return correlations_of(estimate, others, true)


def plane(
    problem: Problem,
    population: xr.Dataset,
    estimates: Sequence[xr.Dataset],
    check: xr.Dataset,
    names: list[str],
) -> Plane:
    """Place solves and populations in two readable quantities.

    The two quantities of a field are its means over the first and the last third of the domain.
    (Some laws fix the mean over the whole domain, so the means of halves would determine each
    other.) For other systems, the quantities are the two parameters that vary most among the
    solves, in logarithms if they spread over a large factor.

    Parameters
    ----------
    population : Dataset
        ``alpha`` of the final answer.
    estimates : sequence of Dataset
        ``alpha`` at the end of every round.
    check : Dataset
        The record of all solves.
    names : list of str
        The parameters of the forward model.
    """
    z = check["z"].values
    omega = _omega(problem, _DENSITY_DRAWS)
    drawn = [_parameters(problem, e["alpha"].values, omega) for e in (*estimates, population)]
    random_field = field_of(population)
    if random_field is None:
        described = described_parameters(population, names)
        # The design follows the parameters.
        labels, place = _two_parameters(described, z[:, : len(described)])
        title = f": the two of {len(names)} parameters that vary most" if len(names) > 2 else ""
    else:
        labels, place = _two_means(*random_field)
        title = ""
    return Plane(labels, title, place(z), tuple(place(each) for each in drawn))


def _two_parameters(
    described: list[Parameter], z: np.ndarray
) -> tuple[tuple[str, str], Callable[[np.ndarray], np.ndarray]]:
    # A single parameter is shown against itself.
    chosen = np.resize(_most_varied(z, 2), 2)
    wide = np.array([is_wide(z[:, i]) for i in chosen])

    def label(i: int, logarithm: bool) -> str:
        name = readable(described[i].name)
        name = f"log₁₀ of the {name}" if logarithm else name
        return axis_label(name, described[i].units)

    def place(values: np.ndarray) -> np.ndarray:
        pair = values[:, chosen]
        return np.where(wide, np.log10(np.where(wide, pair, 1.0)), pair)

    labels = (label(chosen[0], wide[0]), label(chosen[1], wide[1]))
    return labels, place


def _two_means(
    field: Field, dimension: int
) -> tuple[tuple[str, str], Callable[[np.ndarray], np.ndarray]]:
    points = _grid(_QUADRATURE[dimension], dimension)
    basis = field.basis(points)
    first, last = points[:, 0] < 1 / 3, points[:, 0] > 2 / 3

    def place(values: np.ndarray) -> np.ndarray:
        a = field.evaluate(values, basis)
        return np.column_stack([a[:, first].mean(axis=1), a[:, last].mean(axis=1)])

    name = f"mean {field.quantity}," + ("\n" if len(field.quantity) > _LONG_NAME else " ")
    return (f"{name}x < 1/3", f"{name}x > 2/3"), place


def noise_free_covariance(problem: Problem, population: xr.Dataset) -> np.ndarray:
    """Return the covariance of the fitted model's observations without noise, (d_y, d_y).

    The intrinsic variation of a random simulator is a part of it.
    """
    alpha, omega = parameters_of(population)[0], _omega(problem, _DRAWS)
    with torch.no_grad():
        signal = problem.signal(torch.from_numpy(alpha), torch.from_numpy(omega))
        y = problem.noise.mean(signal).numpy()
        if problem.noise.intrinsic:
            gamma = torch.from_numpy(parameters_of(population)[1])
            whole = problem.noise.mean_covariance(gamma, signal)
            intrinsic = (whole - problem.noise.covariance(gamma)).numpy()
            return np.asarray(np.cov(y, rowvar=False).reshape(intrinsic.shape) + intrinsic)
    return np.atleast_2d(np.cov(y, rowvar=False))
