"""Draws of new systems with errors of the surrogate and through the solver, in closed form."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from linear_systems import MATRIX, Solver, closed_form, linear_problem
from scipy.stats import kstest

from popinv.inference.density.conditions import Conditions
from popinv.methods.posterior.prediction import _Draws, _SeenEntries, belonging
from popinv.methods.posterior.sampling import sample_posteriors

SYSTEMS = 4


@pytest.fixture(scope="module")
def known():
    """Return systems that were seen in part, and their law and noise."""
    rng = np.random.default_rng(5)
    present = rng.random((SYSTEMS, 5)) > 0.4
    present[:, 0] = True
    conditions = Conditions.stated(
        (SYSTEMS, 5), np.ones(SYSTEMS), present=present, fill=np.zeros(5)
    )
    problem, (alpha, gamma), _ = linear_problem(SYSTEMS, conditions)
    return problem, np.concatenate([alpha, gamma]), gamma


@pytest.mark.full
def test_errors_of_the_surrogate_widen_the_posterior_by_what_they_move_it(known):
    """A draw of the error moves the mean by minus the gain times it, and leaves the rest."""
    problem, p, gamma = known
    rng = np.random.default_rng(6)
    size = np.array([1.2, 0.8, 1.2, 0.4, 0.8])
    errors = size * rng.standard_normal((40, 5))
    laws = np.repeat(p[None], len(errors), axis=0)
    found = sample_posteriors(problem, p, 4, 120, 8000, laws, errors)
    for n in range(SYSTEMS):
        mean, posterior = closed_form(problem, gamma, n)
        seen = problem.conditions.present[n]
        noise = problem.noise.covariance(torch.from_numpy(gamma)).numpy()[np.ix_(seen, seen)]
        gain = posterior @ MATRIX[seen].T @ np.linalg.inv(noise)
        shift = gain @ errors[:, seen].T
        exact = posterior + np.cov(shift)
        z = found.draws[n].reshape(-1, 2)
        deviation = np.sqrt(np.diag(exact))
        off = z.mean(axis=0) - (mean - shift.mean(axis=1))
        # Of 120 effective draws, a mean has an error of 0.09 and a deviation of 0.065.
        assert np.all(np.abs(off) < 0.35 * deviation)
        np.testing.assert_allclose(z.std(axis=0), deviation, rtol=0.25)


def test_each_draw_knows_its_law_and_error(known):
    """The observation less the error, and not the observation, has the draw's residual."""
    problem, p, _ = known
    errors = np.array([[0.0] * 5, [3.0] * 5])
    found = sample_posteriors(problem, p, 2, 50, 2000, np.repeat(p[None], 2, axis=0), errors)
    for n in range(SYSTEMS):
        z, places = found.draws[n].reshape(-1, 2), found.places[n].ravel()
        assert set(places) == {0, 1}
        seen = problem.conditions.present[n]
        away = (z @ MATRIX[seen].T)[:, 0]
        assert away[places == 0].mean() > away[places == 1].mean() + 0.5


def test_through_the_solver_a_wrong_surrogate_gives_the_right_posterior(known):
    problem, p, gamma = known
    wrong = torch.from_numpy(MATRIX * 1.15)
    off = replace(problem, simulate=lambda z: z @ wrong.T)
    found = sample_posteriors(off, p, 4, 400, 20_000)
    solved = _Draws(off, p[None], None).through(Solver(problem.simulate), found, 800)
    for n in range(SYSTEMS):
        mean, posterior = closed_form(problem, gamma, n)
        deviation = np.sqrt(np.diag(posterior))
        z = solved.draws[n][0]
        assert np.all(np.abs(z.mean(axis=0) - mean) < 0.2 * deviation)
        np.testing.assert_allclose(z.std(axis=0), deviation, rtol=0.16)
    assert (solved.effective <= found.effective).all()


def test_p_values_of_the_population_are_uniform_whatever_was_seen(known):
    _, p, _ = known
    rng = np.random.default_rng(8)
    kinds = np.array([[1, 0, 0, 0, 0], [1, 1, 1, 0, 1], [0, 1, 0, 1, 0]], dtype=bool)
    present = kinds[rng.integers(3, size=900)]
    conditions = Conditions.stated((900, 5), np.ones(900), present=present, fill=np.zeros(5))
    problem, _, _ = linear_problem(900, conditions, seed=9)
    found = belonging(problem, p, None, None)
    # Those of a kind share 1000 simulated systems.
    assert kstest(found, "uniform").statistic < 0.08
    far = replace(problem, data=problem.data + 20 * present)
    assert (belonging(far, p, None, None) < 0.01).all()


def test_censored_entries_restrict_the_noise_of_other_places(known):
    """Given that y_1 > u, y_2 is drawn as by rejection from the joint law."""
    covariance = np.array([[1.0, 0.8], [0.8, 1.0]])
    count, rng = 20_000, np.random.default_rng(3)
    factor = np.linalg.cholesky(covariance)
    low, high = np.array([[1.0, np.nan]]), np.array([[np.inf, np.nan]])
    entries = _SeenEntries(low, low, high)
    noise = rng.standard_normal((count, 2)) @ factor.T
    found = entries.given(np.zeros((count, 2)), noise, np.tile(covariance, (count, 1, 1)), rng)
    joint = rng.standard_normal((400_000, 2)) @ factor.T
    kept = joint[joint[:, 0] > 1.0]
    assert found[:, 0].min() > 1.0
    assert found[:, 1].mean() == pytest.approx(kept[:, 1].mean(), abs=0.02)
    assert found[:, 1].std() == pytest.approx(kept[:, 1].std(), abs=0.02)
