"""Estimates that processes share: the same bits for every number of them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from linear_population import TRUTH, linear_problem
from tiers import parameters, thinned

from popinv import workers
from popinv.baselines import two_stage as two_stage_module
from popinv.baselines.two_stage import two_stage
from popinv.inference.checks.fitted_samples import FittedModel
from popinv.inference.checks.heldout_test import heldout_test
from popinv.inference.density.problem import Problem
from popinv.inference.estimators.fit_pseudo import fit_pseudo_likelihood
from popinv.inference.estimators.settings import DescentSettings
from popinv.inference.integrate import marginal, model_moments
from popinv.inference.integrate.marginal import MarginalSettings, evaluate
from popinv.inference.uncertainty import distance_influence
from popinv.inference.uncertainty.scores import pseudo_scores
from popinv.methods.posterior import references
from popinv.methods.posterior.sampling import sample_posteriors
from popinv.methods.restarts.descents import descend
from popinv.threads import fixed_threads
from popinv.workers import processes

SETTINGS = MarginalSettings(draws=16)
DESCENT = DescentSettings(iterations=8, model_samples=60, directions=4)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make loops of several turns of few systems."""
    monkeypatch.setattr(workers, "_LEAST_SECONDS", 0.0)
    monkeypatch.setattr(marginal, "_BLOCK_VALUES", 8 * 16 * 6 * 8)
    monkeypatch.setattr(marginal, "_FEW_IN_A_BLOCK", 2)
    monkeypatch.setattr(model_moments, "_ROWS", 2000)
    monkeypatch.setattr(two_stage_module, "_BLOCK", 16)
    monkeypatch.setattr(references, "_BLOCK_VALUES", 2 * 14 * 12)
    monkeypatch.setattr(distance_influence, "_DRAWS", 800)


def likelihood(problem: Problem) -> np.ndarray:
    found = evaluate(problem, TRUTH + 0.1, SETTINGS)
    return np.column_stack([found.log_likelihood, found.scores, found.modes])


def moments(problem: Problem) -> np.ndarray:
    return pseudo_scores(problem, TRUTH)(problem)


def pseudo_likelihood(problem: Problem) -> np.ndarray:
    return fit_pseudo_likelihood(problem, [TRUTH + 0.1]).p


def posteriors(problem: Problem) -> np.ndarray:
    found = sample_posteriors(problem.of_systems(np.arange(24)), TRUTH, 2, 5, 100)
    return np.concatenate([draws.reshape(-1, 2) for draws in found.draws])


def null_samples(problem: Problem) -> np.ndarray:
    model = FittedModel(problem, TRUTH, np.stack([TRUTH, TRUTH + 0.1]))
    return heldout_test(model, problem.data, 6).null


def restarts(problem: Problem) -> np.ndarray:
    return descend(problem, DESCENT, [TRUTH, TRUTH + 0.1, TRUTH - 0.1], "starts")[0]


def two_stage_fits(problem: Problem) -> np.ndarray:
    alpha, gamma = problem.split(TRUTH)
    return two_stage(problem, (alpha, gamma)).z


USES = [
    likelihood,
    moments,
    pseudo_likelihood,
    posteriors,
    null_samples,
    restarts,
    two_stage_fits,
]


@parameters("count", [3], full=[2, 5])
@parameters("use", *thinned(USES, 4), ids=lambda use: use.__name__)
def test_the_bits_do_not_depend_on_the_number_of_processes(
    use: Callable[[Problem], np.ndarray], count: int
) -> None:
    problem = linear_problem(30)
    with fixed_threads():
        one = use(problem)
        with processes(count):
            assert np.array_equal(use(problem), one)


def test_turns_of_several_blocks_have_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = linear_problem(60)
    with fixed_threads():
        one = likelihood(problem)
        monkeypatch.setattr(marginal, "_MOST_TURNS", 4)
        assert np.array_equal(likelihood(problem), one)
        with processes(2):
            assert np.array_equal(likelihood(problem), one)
