"""Whatever can be stated of systems and noise can be combined: against quadrature with SciPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from stated_systems import (
    INDEPENDENT,
    by_quadrature,
    log_density,
    problem_of,
    signals,
    stated_cells,
)
from tables.combinations import Cell

from popinv.inference.likelihood.integrals import MarginalSettings
from popinv.inference.likelihood.marginal_near import likelihood_near
from popinv.methods.posterior.density import Densities

COUNT, DRAWS = 5, 2048
TAKEN = stated_cells()


def some_quick(cells: list[Cell], each: int) -> list:
    """Return the cells, of which all but one of so many are slow."""
    slow = pytest.mark.full
    return [
        pytest.param(cell, id=str(cell), marks=[slow] if place % each else [])
        for place, cell in enumerate(cells)
    ]


@pytest.mark.parametrize("cell", some_quick(TAKEN, 13))
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


@pytest.mark.parametrize("cell", some_quick(TAKEN[::11], 6))
def test_scores_are_the_derivatives_of_quadrature(cell):
    problem, p = problem_of(cell, COUNT)
    here = likelihood_near(problem, p, MarginalSettings(draws=DRAWS)).here
    step = 1e-4
    for i in range(len(p)):
        shift = step * np.eye(len(p))[i]
        ends = [by_quadrature(cell, problem, p + sign * shift)[0] for sign in (1, -1)]
        # The error that is told is a draw of the true one.
        told = np.sqrt(np.mean(here.score_error[:, i] ** 2))
        slope = (ends[0] - ends[1]) / (2 * step)
        np.testing.assert_allclose(here.scores[:, i], slope, atol=0.02 + 4 * told, rtol=0.02)
