"""Solves of members: how they are drawn, and what they say of the surrogate's error."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from linear_groups import COLUMNS, LAW, maximum, table

import popinv
from popinv.errors import DataError
from popinv.forward.base import Solutions
from popinv.forward.datasets import solves
from popinv.inference.answer.result import estimate_of
from popinv.inference.estimators.fit_pseudo import fit_pseudo_likelihood
from popinv.inference.uncertainty.scores import pseudo_scores, surrogate_push
from popinv.inference.uncertainty.surrogate_bias import (
    FreshSolves,
    ScoreDifference,
    corrected,
    solver_residuals,
)
from popinv.population.known import known_of
from popinv.population.members import DrawnMembers, observed_members
from popinv.surrogate.stages.propose_parameters import propose_parameters

TIMES = torch.tensor([0.0, 0.5, 1.0, 1.5], dtype=torch.float64)


def exact(z: torch.Tensor) -> torch.Tensor:
    return z[:, :1] + z[:, 1:2] * z[:, 2:] * TIMES


def wrong(z: torch.Tensor) -> torch.Tensor:
    """Return observations with an error that moves means and deviations."""
    return exact(z) + 0.02 + 0.03 * z[:, :1] - 0.015 * z[:, 1:2] * TIMES


@pytest.fixture(scope="module")
def data():
    return table(30, seed=5)


@pytest.fixture(scope="module")
def fit(data) -> popinv.Result:
    def function(z, design, times):
        return z[:, :1] + z[:, 1:2] * design * torch.as_tensor(times)

    keys = {"tests": False, "progress": False, "estimator": "pseudo_likelihood"}
    return popinv.fit(data, function, law=LAW, noise="isotropic", **COLUMNS, **keys)


def fresh_solves(fit: popinv.Result, alpha: np.ndarray, count: int, failed=()):
    """Return solves of members of whole groups, some of which failed."""
    drawn = DrawnMembers.of(fit.observations, np.random.default_rng(2), count)
    one = fit.model.law.law(fit.model.forward)
    z = drawn.parameters(one, alpha, fit.observations, 7, "fresh")
    y, reason = exact(torch.from_numpy(z)).numpy(), np.full(count, "", dtype=object)
    y[list(failed)], reason[list(failed)] = np.nan, "no root"
    forward = fit.model.forward
    solutions = Solutions(y, reason)
    found = solves(z, solutions, forward.inputs(), forward.observed(0), drawn.origin)
    return found.assign(round=("sample", np.zeros(count, dtype=int)))


def test_members_are_drawn_in_whole_groups(fit):
    present = observed_members(fit.observations)
    drawn = DrawnMembers.of(fit.observations, np.random.default_rng(0), 157)
    assert len(drawn.system) == 157
    assert present[drawn.system, drawn.member].all()
    for group in np.unique(drawn.group[drawn.whole]):
        own = drawn.group == group
        (system,) = np.unique(drawn.system[own])
        np.testing.assert_array_equal(drawn.member[own], np.flatnonzero(present[system]))
    # All but the last group are whole.
    assert drawn.whole[drawn.group < drawn.group.max()].all()


def test_drawn_members_have_the_law_and_the_known_quantities_of_their_group(fit):
    values = [1.0, 2.0, 0.3, 0.8, 0.5, 0.3]
    one = fit.model.law.law(fit.model.forward)
    alpha = one.to_unconstrained(np.array(values))
    drawn = DrawnMembers.of(fit.observations, np.random.default_rng(1), 20_000)
    z = drawn.parameters(one, alpha, fit.observations, 1, "many")
    known, members = known_of(fit.observations), observed_members(fit.observations).shape[1]
    dose, w = (
        each.numpy().reshape(-1, members)[drawn.system, drawn.member]
        for each in (known.design, known.covariates)
    )
    np.testing.assert_array_equal(z[:, 2], dose)
    a = z[:, 0] - 1.0 - 0.3 * w
    first, second = (drawn.member == 0) & drawn.whole, (drawn.member == 1) & drawn.whole
    covariance = np.cov(a[first], a[second])
    total, shared = 0.8**2 + 0.5**2, 0.8**2
    np.testing.assert_allclose(covariance, [[total, shared], [shared, total]], rtol=0.08)
    assert np.var(z[:, 1]) == pytest.approx(0.3**2, rel=0.05)


def test_rounds_are_of_members_and_the_check_is_of_groups(fit):
    model, observations = fit.model, fit.observations
    address = {"seed": 1, "samples": 60}
    broad = propose_parameters(
        model.forward, model.law, None, observations, round_name="0", **address
    )
    assert set(broad["group"].values) == {-1}
    estimate = fit.artefacts["estimate_0"]
    check = propose_parameters(
        model.forward, model.law, estimate, observations, round_name="check", **address
    )
    assert check["z"].shape == broad["z"].shape == (60, 3)
    assert len(np.unique(check["group"].values[check["group"].values >= 0])) > 10


def test_fresh_solves_stand_in_groups_and_failed_members_change_nothing(fit):
    alpha, problem = fit.population["alpha"].values, fit.problem
    whole = FreshSolves.of_last_round(fresh_solves(fit, alpha, 200)).in_groups(problem)
    assert whole.z.shape[1] == problem.members * 3
    clean = problem.simulate(torch.from_numpy(whole.z)).numpy()
    solved = ~np.isnan(whole.y)
    np.testing.assert_allclose(whole.y[solved], clean[solved], rtol=1e-12)
    np.testing.assert_array_equal(
        solved.reshape(len(solved), problem.members, -1).all(axis=2),
        problem.present_members[whole.systems],
    )
    lacking = FreshSolves.of_last_round(fresh_solves(fit, alpha, 200, failed=[3, 17]))
    lacking = lacking.in_groups(problem)
    assert np.isnan(lacking.y).sum() == np.isnan(whole.y).sum() + 2 * 4
    again = problem.simulate(torch.from_numpy(lacking.z)).numpy()
    kept = ~np.isnan(lacking.y)
    np.testing.assert_allclose(lacking.y[kept], again[kept], rtol=1e-12)


def test_a_surrogate_without_error_pushes_nothing_even_if_members_failed(fit):
    alpha, problem = fit.population["alpha"].values, fit.problem.through(exact)
    p = estimate_of(fit.population)
    fresh = FreshSolves.of_last_round(fresh_solves(fit, alpha, 60, failed=[3, 17]))
    compared = ScoreDifference(problem, p, pseudo_scores(problem, p, 400), "fresh", 1)
    np.testing.assert_allclose(fresh.pushes(compared), 0.0, atol=1e-9)


@pytest.mark.full
def test_the_correction_through_whole_groups_finds_the_exact_maximum(fit, data):
    values, _ = maximum(data)
    problem = fit.problem.through(wrong)
    p = fit_pseudo_likelihood(problem, [estimate_of(fit.population)], draws=400)
    fresh = FreshSolves.of_last_round(fresh_solves(fit, p.p[: problem.d_alpha], 300))
    better = corrected(problem, p, pseudo_scores(problem, p.p, 400), fresh, "fresh", 4)
    assert better.passes
    errors = p.standard_errors
    exactly = np.concatenate([values[:3], np.log(values[3:])])
    assert np.abs((p.p - exactly) / errors).max() > 0.9
    assert np.abs((better.p - exactly) / errors).max() < 0.2


def test_members_alone_do_not_measure_the_surrogate(fit):
    alpha, problem = fit.population["alpha"].values, fit.problem.through(wrong)
    found = fresh_solves(fit, alpha, 60)
    alone = found.assign(group=("sample", np.full(60, -1)))
    p = fit_pseudo_likelihood(problem, [estimate_of(fit.population)], draws=400)
    scores = pseudo_scores(problem, p.p, 400)
    with pytest.raises(DataError, match=r"'assessment.surrogate_check' to 40 or more"):
        corrected(problem, p, scores, FreshSolves.of_last_round(alone), "fresh", 1)
    push = surrogate_push(problem, fit.artefacts["estimate_0"])
    assert np.isnan(push(alone))
    assert push(found) > 0.2


def test_residuals_of_groups_are_those_of_members_side_by_side(fit):
    alpha = fit.population["alpha"].values
    problem, check = fit.problem.through(wrong), fresh_solves(fit, alpha, 60)
    residuals = solver_residuals(problem, check)
    each = check["y"].values - wrong(torch.from_numpy(check["z"].values)).numpy()
    assert residuals.shape == (60, problem.data.shape[1])
    np.testing.assert_allclose(residuals[7, :4], each[7], rtol=1e-10)
    np.testing.assert_allclose(residuals[58, 8:12], each[0], rtol=1e-10)
