"""Scores of systems under a model, against their exact density."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from linear_population import TRUTH, exact_log_likelihood, linear_problem

from popinv.inference.checks.predictive import predictive

DRAWS = 400


@pytest.mark.parametrize("irregular", [False, True])
def test_both_scores_of_a_normal_model_are_its_exact_density(irregular):
    problem = linear_problem(count=60, scales=irregular, gaps=irregular)
    tested = linear_problem(count=40, seed=9, scales=irregular, gaps=irregular)
    scores = predictive(problem, tested.data, tested.conditions, TRUTH[None], DRAWS)
    exact = exact_log_likelihood(tested, TRUTH)
    np.testing.assert_allclose(scores.log_score, exact, atol=0.1)
    # The moments are those of draws, matched in mean and covariance.
    np.testing.assert_allclose(scores.normal_score, exact, atol=1e-6)
    assert np.all(np.abs(scores.error) < 0.1)


def test_unreliable_integrals_leave_the_normal_score_and_a_reason():
    problem = linear_problem(count=20)

    def steep(z: torch.Tensor) -> torch.Tensor:
        return problem.simulate(z) + 5 * torch.sin(400 * z[:, :1] * z[:, 1:])

    rough = replace(problem, simulate=steep)
    scores = predictive(rough, problem.data, problem.conditions, TRUTH[None], 64)
    assert scores.reason
    assert np.isnan(scores.log_score).all()
    assert np.isfinite(scores.normal_score).all()
    told = predictive(
        problem, problem.data, problem.conditions, TRUTH[None], 64, reason="it is known"
    )
    assert told.reason == "it is known"
    assert np.isnan(told.log_score).all()
