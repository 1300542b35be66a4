"""The test of added systems has its size and its power, with scores in closed form."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binom

sys.path.insert(0, str(Path(__file__).parents[1]))

from linear_population import TRUTH, exact_scores, linear_problem

from popinv.additions.batch_test import batch_test

SYSTEMS, REPEATS = 200, 300


@pytest.fixture(scope="module")
def covariance() -> np.ndarray:
    scores = exact_scores(linear_problem(4000, seed=1), TRUTH)
    return np.linalg.inv(SYSTEMS * scores.T @ scores / 4000)


def p_values(covariance: np.ndarray, count: int, change: np.ndarray, repeats: int) -> np.ndarray:
    """Return the p-values of batches of another population, at answers with an error."""
    rng, found = np.random.default_rng(count), []
    half = np.linalg.cholesky(covariance)
    import linear_population

    for repeat in range(repeats):
        answer = TRUTH + half @ rng.standard_normal(len(TRUTH))
        try:
            linear_population.TRUTH = TRUTH + change
            batch = linear_problem(count, seed=100_000 + repeat)
            linear_population.TRUTH = answer
            pool = linear_problem(400, seed=200_000 + repeat)
        finally:
            linear_population.TRUTH = TRUTH
        scores = [exact_scores(each, answer) for each in (batch, pool)]
        found.append(batch_test(*scores, covariance, 4, repeat).p_value)
    return np.array(found)


@pytest.mark.full
@pytest.mark.parametrize("count", [1, 5, 150])
def test_systems_of_the_population_are_rejected_at_the_level(covariance, count):
    p = p_values(covariance, count, np.zeros(6), REPEATS)
    # The error of the answer makes the scores of a single system a little heavier-tailed.
    low, high = binom.ppf([0.002, 0.998], REPEATS, [0.045, 0.065])
    rejected = (p < 0.05).sum(axis=0)
    assert np.all((rejected >= low) & (rejected <= high)), rejected


def test_the_part_that_differs_is_found(covariance):
    other_law = p_values(covariance, 20, np.array([0.8, 0, 0, 0, 0, 0]), 40)
    assert np.mean(other_law[:, 1] < 0.05) > 0.8
    assert np.mean(other_law[:, 2] < 0.05) < 0.25
    other_noise = p_values(covariance, 20, np.array([0, 0, 0, 0, 0.6, 0]), 40)
    assert np.mean(other_noise[:, 2] < 0.05) > 0.8


def test_held_entries_are_not_tested(covariance):
    scores = exact_scores(linear_problem(20, seed=3), TRUTH)
    pool = exact_scores(linear_problem(500, seed=4), TRUTH)
    held = covariance.copy()
    held[4:], held[:, 4:] = 0.0, 0.0
    found = batch_test(scores, pool, held, 4, 0)
    assert list(found.degrees) == [4, 4, 0]
    assert np.isnan(found.p_value[2])
    alone = batch_test(scores[:, :4], pool[:, :4], covariance[:4, :4], 4, 0)
    assert found.statistic[0] == pytest.approx(alone.statistic[0])
