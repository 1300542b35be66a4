"""Likelihoods after the distance: through the surrogate or the forward model itself."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from problems import PLACES, TRUE_ALPHA, curve, curve_problem
from tiers import parameters

from popinv.forward.base import Observations, Parameter, Solutions
from popinv.inference import estimators
from popinv.inference.density.problem import Problem
from popinv.inference.density.solver import SolverSimulator
from popinv.inference.estimators.choice import choose
from popinv.inference.estimators.fit_marginal import fit_marginal_likelihood
from popinv.inference.estimators.fit_pseudo import fit_pseudo_likelihood
from popinv.inference.estimators.polish import (
    Polished,
    likelihood_dataset,
    likelihood_solves,
    may_solve,
    polish,
    pseudo_likelihood_dataset,
    pseudo_likelihood_solves,
)
from popinv.inference.estimators.settings import PolishSettings
from popinv.inference.integrate.marginal import MarginalSettings
from popinv.inference.stages.consult_oracle import oracle
from popinv.inference.uncertainty.surrogate_bias import FreshSolves
from popinv.store.checkpoints import Checkpoint

COUNT = 300


class Curve:
    """The curve as a forward model with derivatives, which counts its solves."""

    parameters = (Parameter("decay"), Parameter("height"))
    observations = Observations(PLACES, ("x",), "y")

    def __init__(self) -> None:
        self.solved = 0

    def solve(self, z: np.ndarray) -> Solutions:
        self.solved += len(z)
        return Solutions(curve(torch.from_numpy(z)).numpy(), np.full(len(z), "", dtype=object))

    def jvp(self, z: np.ndarray, tangents: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        jacobian = self._jacobian(z)
        return self.solve(z).observations, np.einsum("nij,knj->kni", jacobian, tangents)

    def vjp(self, z: np.ndarray, cotangents: np.ndarray) -> np.ndarray:
        return np.einsum("nij,ni->nj", self._jacobian(z), cotangents)

    def _jacobian(self, z: np.ndarray) -> np.ndarray:
        x = PLACES[:, 0]
        by_decay = -x * np.exp(-z[:, :1] * x)
        return np.stack([by_decay, np.broadcast_to(0.5 * np.sin(np.pi * x), by_decay.shape)], 2)


def surrogate(z: torch.Tensor) -> torch.Tensor:
    """Err by about a third of a deviation of the noise."""
    x = torch.linspace(0, 1, 8, dtype=torch.float64)
    return curve(z) + 0.025 * torch.sin(3 * z[:, :1]) * x + 0.03


def useless(z: torch.Tensor) -> torch.Tensor:
    """Hardly depend on the parameters, and so leave the law to the noise."""
    return 0.02 * curve(z) + 0.4


def given(simulate=surrogate) -> tuple[Problem, np.ndarray, FreshSolves]:
    problem, alpha, gamma = curve_problem(count=COUNT)
    rng = np.random.default_rng(5)
    z = TRUE_ALPHA[:2] + np.exp(TRUE_ALPHA[2:]) * rng.standard_normal((200, 2))
    fresh = FreshSolves(z, curve(torch.from_numpy(z)).numpy())
    return replace(problem, simulate=simulate), np.concatenate([alpha, gamma]), fresh


def polished(problem: Problem, start, fresh, model=None, seconds=1e-4, **more) -> Polished:
    solver = None if model is None else SolverSimulator(model)
    settings = PolishSettings(solver_seconds=1e4, draws=16)
    return polish(problem, settings, [start], fresh, solver, seconds, say=lambda _: None, **more)


@pytest.mark.full
def test_cheap_models_are_in_the_likelihood_and_dear_ones_are_not():
    problem, start, fresh = given()
    cheap, dear = Curve(), Curve()
    through = polished(problem, start, fresh, cheap)
    assert through.through == {"pseudo_likelihood": "solver", "likelihood": "solver"}
    assert cheap.solved > 1000
    beside = polished(problem, start, fresh, dear, seconds=1e4)
    assert beside.through == {"pseudo_likelihood": "surrogate", "likelihood": "surrogate"}
    assert dear.solved == 0
    # Without the surrogate's error both answers agree.
    errors = through.likelihood.standard_errors
    assert np.max(np.abs(through.surrogate_shift) / errors) > 1.5
    assert np.max(np.abs(beside.likelihood.p - through.likelihood.p) / errors) < 0.6


def test_the_curvature_of_many_systems_costs_as_much_as_that_of_some():
    problem, _, _ = given()

    def solves(count: int) -> float:
        return likelihood_solves(replace(problem, data=np.zeros((count, 8))), 32)

    assert solves(200) / 200 == pytest.approx(solves(100) / 100)
    one = solves(801) - solves(800)
    assert solves(1600) == pytest.approx(solves(800) + 800 * one)
    assert one < 0.5 * solves(200) / 200


def test_the_likelihood_does_not_start_through_a_surrogate_with_large_errors(monkeypatch):
    """Quick changes hardly move the moments, but the likelihood has another maximum."""

    def restless(z: torch.Tensor) -> torch.Tensor:
        x = torch.linspace(0, 1, 8, dtype=torch.float64)
        return curve(z) + 0.3 * torch.sin(200 * z[:, :1] + 50 * x)

    def refused(*arguments):
        raise AssertionError("the surrogate is asked")

    problem, start, fresh = given(restless)
    # The moments of this problem move with the noise.
    monkeypatch.setattr(estimators.polish, "_SMALL_PUSH", np.inf)
    monkeypatch.setattr(estimators.polish, "maximum_likelihood", refused)
    found = polished(problem, start, fresh, Curve())
    exact = fit_marginal_likelihood(
        replace(problem, simulate=curve), found.likelihood.p, MarginalSettings(draws=16), rough=True
    )
    away = found.likelihood.p - exact.p
    assert np.max(np.abs(away) / found.likelihood.standard_errors) < 0.1


def test_a_model_that_costs_just_what_is_allowed_is_used():
    problem, start, fresh = given()
    # A power of two, so that the cost is exact.
    second = 2.0**-10
    allowed = second * pseudo_likelihood_solves(COUNT, problem.d_alpha)
    settings, solver = PolishSettings(solver_seconds=allowed), SolverSimulator(Curve())
    assert may_solve(problem, settings, second)
    assert not may_solve(problem, settings, 1.001 * second)
    found = polish(
        problem, settings, [start], fresh, solver, second, say=lambda _: None, likelihood=False
    )
    assert found.through == {"pseudo_likelihood": "solver"}


@pytest.mark.full
@parameters("start", [[0.0, 0.0, 0.0, 0.0]], full=[TRUE_ALPHA])
def test_through_the_solver_a_useless_surrogate_does_no_harm(start):
    problem, truth, fresh = given(useless)
    begin = np.concatenate([start, truth[4:]])
    wanted = fit_pseudo_likelihood(replace(problem, simulate=curve), [truth])
    answers = polished(problem, begin, fresh, Curve())
    assert answers.through["pseudo_likelihood"] == "solver"
    away = (answers.pseudo_likelihood.p - wanted.p) / wanted.standard_errors
    assert np.max(np.abs(away)) < 0.3


@pytest.mark.full
def test_an_error_that_cannot_be_taken_off_is_said():
    problem, truth, fresh = given(useless)
    answers = polished(problem, truth, fresh)
    assert not answers.pseudo_likelihood.passes
    assert "too much for a correction" in answers.pseudo_likelihood.reason
    # Nothing has run away, and what it would have taken is told.
    assert np.all(np.isfinite(answers.pseudo_likelihood.p))
    errors = answers.pseudo_likelihood.standard_errors
    # A deviation that the surrogate leaves at zero is held there.
    known = errors > 0
    held = [i for i, ends in answers.pseudo_likelihood.ends.items() if ends.boundary == "zero"]
    np.testing.assert_array_equal(np.flatnonzero(~known), held)
    assert np.max(np.abs(answers.surrogate_shift)[known] / errors[known]) > 1
    estimates = {
        "likelihood": likelihood_dataset(problem, answers),
        "pseudo_likelihood": pseudo_likelihood_dataset(problem, answers),
    }
    distance = estimates["pseudo_likelihood"].assign_attrs(passes=1, reason="")
    name, why = choose(estimates | {"distance": distance}, "auto")
    assert name == "distance"
    assert "too much for a correction" in why


@pytest.mark.full
def test_without_derivatives_the_pseudo_likelihood_alone_goes_through_the_model():
    class Plain:
        solve = Curve.solve
        solved = 0

    problem, start, fresh = given()
    answers = polished(problem, start, fresh, Plain())
    assert answers.through == {"pseudo_likelihood": "solver", "likelihood": "surrogate"}


@pytest.mark.full
def test_an_interrupted_likelihood_goes_on_to_the_same_bits(tmp_path):
    problem, start, fresh = given()
    whole = polished(problem, start, fresh, Curve())

    class Interrupted(Checkpoint):
        written, due = 0, True

        def write(self, arrays):
            super().write(arrays)
            self.written += 1
            if self.written == 2:
                raise KeyboardInterrupt

    path = tmp_path / "state.zarr"
    with pytest.raises(KeyboardInterrupt):
        polished(problem, start, fresh, Curve(), checkpoint=Interrupted(path, {}))
    resumed = polished(problem, start, fresh, Curve(), checkpoint=Checkpoint(path, {}))
    np.testing.assert_array_equal(resumed.likelihood.p, whole.likelihood.p)
    np.testing.assert_array_equal(resumed.likelihood.covariance, whole.likelihood.covariance)


@parameters("draws_each", [200], full=[400])
def test_the_likelihood_makes_no_more_solves_than_it_is_granted(draws_each):
    problem, start, _ = given()
    granted = float(draws_each * COUNT)
    models = {limit: Curve() for limit in (granted, np.inf)}
    estimates = {
        limit: fit_marginal_likelihood(
            problem.through(SolverSimulator(model)),
            start,
            MarginalSettings(draws=16),
            curved=replace(problem, simulate=curve),
            granted=limit,
        )
        for limit, model in models.items()
    }
    assert models[np.inf].solved > 1.5 * granted
    # Modes of all systems are found with 20 solves of each or fewer.
    assert models[granted].solved < granted + 20 * COUNT
    away = estimates[granted].p - estimates[np.inf].p
    assert np.max(np.abs(away) / estimates[np.inf].standard_errors) < 0.5


@pytest.mark.parametrize("known", ["noise", "law"])
def test_an_oracle_leaves_a_poor_surrogate_alone(known):
    problem, start, fresh = given()

    def unused(z: torch.Tensor) -> torch.Tensor:
        raise AssertionError("the surrogate is asked")

    held = (replace(problem, simulate=unused), "likelihood", start, start, known, 16, None, fresh)
    answer = oracle(*held, lambda: SolverSimulator(Curve()), surrogate=False)
    expected = oracle(replace(problem, simulate=curve), *held[1:7])
    np.testing.assert_allclose(answer.p, expected.p, rtol=1e-6)
