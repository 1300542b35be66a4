"""The scores of the benchmark of added systems are the derivatives of the log likelihood."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from linear_population import TRUTH, exact_scores, linear_problem

from benchmarks import addition_size


def test_scores_are_exact():
    problem = linear_problem(5, seed=1)
    found = addition_size.scores(problem.data, TRUTH)
    np.testing.assert_allclose(found, exact_scores(problem, TRUTH), atol=1e-6)


def test_most_batches_of_another_mean_are_found():
    p = addition_size.p_values(20, np.array([0.8, 0, 0, 0, 0, 0]), 20)
    assert np.mean(p[:, 1] < 0.05) > 0.6
