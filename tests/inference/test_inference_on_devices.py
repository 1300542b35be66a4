"""Descents, and what judges them, through a surrogate on another device.

On a pretended GPU the answers are the processor's to the bit; a tensor that meets one of the other
device is an error there, as on a real GPU.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from problems import curve, curve_problem
from tiers import parameters

from popinv.baselines.hierarchical import Energy
from popinv.baselines.two_stage import two_stage
from popinv.inference.checks.fitted_samples import FittedModel
from popinv.inference.checks.heldout_test import heldout_test
from popinv.inference.density.conditions import Conditions
from popinv.inference.density.problem import DescentState, Problem, begin
from popinv.inference.estimators.descent import run
from popinv.inference.estimators.fit_pseudo import fit_pseudo_likelihood
from popinv.inference.estimators.settings import CurvatureSettings, DescentSettings
from popinv.inference.estimators.short_descents import ShortDescents
from popinv.inference.integrate.marginal import MarginalSettings, evaluate
from popinv.inference.stages.consult_oracle import oracle
from popinv.inference.uncertainty.identifiability import identifiability
from popinv.population.noise.unstructured import FullNoise
from popinv.store.checkpoints import state_to_arrays
from popinv.surrogate.trained_network import Surrogate
from popinv.surrogate.training import TrainingData, TrainingSettings, train

SHORT = DescentSettings(iterations=12, model_samples=100, directions=16)
OFTEN = CurvatureSettings(every=3, rows=60)


@pytest.fixture(scope="module")
def fitted() -> Surrogate:
    z = 0.5 + 0.5 * np.random.default_rng(0).standard_normal((300, 2))
    settings = TrainingSettings(hyperparameters={"width": 16, "depth": 2}, max_epochs=10)
    surrogate, _ = train(TrainingData(z, curve(torch.from_numpy(z)).numpy()), settings)
    return surrogate


def pair(elsewhere: Any, surrogate: Surrogate, **changes: Any) -> tuple[Problem, Problem, Any]:
    """Return the problem with the surrogate there, the same with it here, and (alpha, gamma)."""
    problem, alpha, gamma = curve_problem(60)
    if isinstance(changes.get("noise"), FullNoise):
        covariance = problem.noise.covariance(torch.from_numpy(gamma)).numpy()
        deviation = np.sqrt(np.diag(covariance))
        correlation = (covariance / np.outer(deviation, deviation))[np.tril_indices(8, -1)]
        gamma = changes["noise"].from_natural(
            dict(zip(changes["noise"].names, [*deviation, *correlation], strict=True))
        )
        changes["scale"] = np.full(2 * 2 + len(gamma), 0.5)
    there = replace(surrogate, network=copy.deepcopy(surrogate.network).to(elsewhere.device))
    problem = replace(problem, **changes)
    return replace(problem, simulate=there), replace(problem, simulate=surrogate), (alpha, gamma)


def gaps() -> Conditions:
    rng = np.random.default_rng(4)
    scale, present = rng.uniform(0.5, 2.0, 60), rng.random((60, 8)) > 0.1
    return Conditions.stated((60, 8), scale, present, np.zeros(8))


@parameters(
    "settings, changes",
    [({"batch_size": 40}, {"conditions": gaps()})],
    full=[
        ({}, {"noise": FullNoise(8, shrinkage=2.0)}),
        ({}, {}),
        ({"policy": "full", "regularisation": 1.0}, {}),
        ({"policy": "plain", "optimiser": "adam", "debias": False}, {}),
        ({}, {"noise": FullNoise(8, shrinkage=0.0), "free_noise": False}),
    ],
)
def test_a_descent_does_not_depend_on_the_device(elsewhere, fitted, settings, changes):
    there, here, start = pair(elsewhere, fitted, **dict(changes))
    short = SHORT.replace(**settings)
    ours, theirs = (
        run(begin(*start, short), p, short, progress=False, curvature_settings=OFTEN)
        for p in (there, here)
    )
    for name, expected in state_to_arrays(theirs.state).items():
        elsewhere.agree(state_to_arrays(ours.state)[name], expected, 1e-3)
    assert ours.state.iteration == 12
    # A step back may end exactly at the start.
    moved = np.any(ours.state.path != np.concatenate(start), axis=0)
    np.testing.assert_array_equal(moved, there.free)


@pytest.mark.full
@pytest.mark.parametrize("devices", [(0, 1), (1, 0)])
def test_an_interrupted_descent_goes_on_on_another_device(elsewhere, fitted, devices):
    problems = pair(elsewhere, fitted)
    first, second = (problems[i] for i in devices)
    states: list[DescentState] = []

    def keep(state: DescentState) -> None:
        arrays = {name: array.copy() for name, array in state_to_arrays(state).items()}
        states.append(replace(state, **{k: v for k, v in arrays.items() if k != "iteration"}))

    start = begin(*problems[2], SHORT)
    whole = run(start, first, SHORT, keep, progress=False, curvature_settings=OFTEN)
    resumed = run(states[4], second, SHORT, progress=False, curvature_settings=OFTEN)
    assert states[4].iteration == 5
    elsewhere.agree(resumed.state.path, whole.state.path, 1e-3)


def known(which: str) -> Callable[..., Any]:
    def answer(problem: Problem, start: Any) -> Any:
        p = np.concatenate(start)
        return (oracle(problem, "distance", p, p, which, 16, SHORT).p,)

    return answer


def energy(problem: Problem, start: Any) -> Any:
    posterior = Energy(problem.of_systems(np.arange(20)), np.concatenate(start))
    return posterior(0.1 * np.random.default_rng(5).standard_normal(posterior.dimension))


def judged(problem: Problem, start: Any) -> Any:
    p = np.concatenate(start)
    test = heldout_test(FittedModel(problem, p, p[None]), problem.data[:50], resamples=3)
    return test.statistic, test.null


def pseudo(problem: Problem, start: Any) -> Any:
    estimate = fit_pseudo_likelihood(problem, [np.concatenate(start)])
    return estimate.p, estimate.covariance


def likelihood(problem: Problem, start: Any) -> Any:
    evaluation = evaluate(problem, np.concatenate(start), MarginalSettings(draws=8))
    return evaluation.log_likelihood, evaluation.scores


def predicted(problem: Problem, start: Any) -> Any:
    prediction = identifiability(problem, *start, samples=400)
    return prediction.standard_errors, prediction.singular_values


def pooled(problem: Problem, start: Any) -> Any:
    with mock.patch("popinv.baselines.two_stage._ALTERNATIONS", 1):
        fit = two_stage(problem.of_systems(np.arange(30)), start)
    return fit.alpha, fit.gamma, fit.z


def fewer(problem: Problem, start: Any) -> Any:
    descents = ShortDescents(problem, SHORT, np.concatenate(start))
    return (descents(problem.of_systems(np.arange(1, len(problem.data))), 0),)


@pytest.mark.full
@parameters(
    "compute",
    [fewer, likelihood, energy],
    full=[known("law"), known("noise"), judged, pseudo, predicted, pooled],
)
@pytest.mark.filterwarnings("ignore:`torch.jit.script`")  # by torch, for forward-mode derivatives
def test_what_uses_the_surrogate_does_not_depend_on_its_device(elsewhere, fitted, compute):
    there, here, start = pair(elsewhere, fitted)
    for ours, theirs in zip(compute(there, start), compute(here, start), strict=True):
        elsewhere.agree(ours, theirs, 1e-3, exact=compute is not pooled)
