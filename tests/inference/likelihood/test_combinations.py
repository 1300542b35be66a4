"""Whatever can be stated of systems and noise can be combined: against quadrature with SciPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from slopes import slopes
from stated_systems import (
    INDEPENDENT,
    INTERVAL,
    LIMITS,
    by_quadrature,
    log_density,
    pairs,
    problem_of,
    signals,
    stated_cells,
)
from tables.combinations import Cell
from tiers import parameters

from popinv.inference.integrate.integrals import MarginalSettings
from popinv.inference.integrate.marginal_near import likelihood_near
from popinv.methods.posterior.density import Densities

COUNT, DRAWS = 5, 1024
TAKEN = stated_cells()


def dear(cell: Cell) -> bool:
    """Return whether correlated noise has limits, which takes further integrals."""
    return cell.seen in LIMITS and cell.noise not in INDEPENDENT


def each_level() -> list[Cell]:
    """Return cells that hold each level of each statement; two of them are dear."""
    chosen = [
        Cell("kernel", "combined", "alike", "censored_below", "1"),
        Cell("channels", "combined", "alike", INTERVAL, "1"),
    ]
    quick = [cell for cell in TAKEN if not dear(cell)]
    while True:
        levels = {level for cell in chosen for level in zip(Cell._fields, cell, strict=True)}
        held = frozenset().union(*map(pairs, chosen))

        def gain(cell: Cell, levels=levels, held=held) -> tuple[int, int]:
            missing = set(zip(Cell._fields, cell, strict=True)) - levels
            return len(missing), len(pairs(cell) - held)

        best = max(quick, key=gain)
        if gain(best)[0] == 0:
            return chosen
        chosen.append(best)


QUICK = each_level()


def cells(quick: list[Cell], every: list[Cell]) -> pytest.MarkDecorator:
    """Return a parameter for cells, all but some of which are in the full tier."""
    return parameters("cell", quick, full=[c for c in every if c not in quick], ids=str)


@cells(QUICK, TAKEN)
def test_likelihood_and_posterior_are_those_of_quadrature(cell, passes):
    problem, p = problem_of(cell, COUNT)
    exact, means, _ = by_quadrature(cell, problem, p)
    here = likelihood_near(problem, p, MarginalSettings(draws=DRAWS)).here
    # The errors that are told are draws of the true ones.
    told, found = here.value_error, here.log_likelihood - exact
    assert np.sqrt(np.mean(found**2)) < 4 * np.sqrt(np.mean(told**2)) + 2e-3
    errors = np.sqrt(here.variance / (here.effective_share * DRAWS)[:, None])
    assert np.all(np.abs(here.mean - means) < 5 * errors)
    # The density that posteriors are sampled from, at two points.
    densities, systems = Densities.at(problem, p), torch.arange(COUNT)
    omega = np.random.default_rng(1).standard_normal((2, COUNT, 2))
    first, second = (densities.log(torch.from_numpy(each), systems) for each in omega)
    for n in range(COUNT):
        g = signals(problem, p, n, omega[:, n])
        each = log_density(cell, problem, p, n, g) - 0.5 * (omega[:, n] ** 2).sum(axis=1)
        # Two censored entries that are correlated have the error of the rule for their integral.
        joint = problem.conditions.limited and cell.noise not in INDEPENDENT
        rule = {"abs": 0.01, "rel": 2e-4} if joint else {"abs": 1e-8}
        assert float(first[n] - second[n]) == pytest.approx(each[0] - each[1], **rule)
    for invariant in densities.invariants(problem, p):
        assert invariant.difference <= invariant.tolerance, invariant
    passes("stated", cell)


# One with each kind of errors.
@cells([*{cell.errors: cell for cell in QUICK}.values()][::2], TAKEN[::11])
def test_scores_are_the_derivatives_of_quadrature(cell):
    problem, p = problem_of(cell, 3)
    here = likelihood_near(problem, p, MarginalSettings(draws=DRAWS)).here
    exact = slopes(lambda q: by_quadrature(cell, problem, q)[0], p, 1e-4)
    for i in range(len(p)):
        # The error that is told is a draw of the true one.
        told = np.sqrt(np.mean(here.score_error[:, i] ** 2))
        np.testing.assert_allclose(here.scores[:, i], exact[:, i], atol=0.02 + 4 * told, rtol=0.02)
