"""Standard errors by the model and robust ones, of estimates that are no likelihood's."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from linear_population import PLACES, TRUTH, linear_problem
from problems import curve_problem

from popinv.inference.density.problem import Problem
from popinv.inference.estimators.fit_pseudo import fit_pseudo_likelihood
from popinv.inference.uncertainty.scores import pseudo_scores
from popinv.inference.uncertainty.standard_errors import FEW_SYSTEMS, simulated, with_model_errors

NO_PENALTY = np.zeros((6, 6))


def moments(problem: Problem, p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and covariance of an observation of the linear model."""
    design = np.column_stack([np.ones(6), PLACES])
    noise = problem.noise.covariance(torch.from_numpy(p[4:])).numpy()
    return design @ p[:2], design @ np.diag(np.exp(2 * p[2:4])) @ design.T + noise


def test_simulated_systems_have_the_moments_of_the_model():
    problem = linear_problem(20)
    drawn = simulated(problem, TRUTH, 20_000, "test").data
    mean, covariance = moments(problem, TRUTH)
    errors = np.sqrt(np.diag(covariance) / 20_000)
    assert np.all(np.abs(drawn.mean(axis=0) - mean) < 4 * errors)
    np.testing.assert_allclose(np.cov(drawn.T), covariance, atol=0.05 * covariance.max())
    again = simulated(problem, TRUTH, 20_000, "test").data
    np.testing.assert_array_equal(drawn, again)


def test_simulated_systems_take_turns_with_the_conditions_of_the_observed():
    problem = linear_problem(7, scales=True, gaps=True)
    drawn = simulated(problem, TRUTH, 20, "test")
    turns = np.arange(20) % 7
    np.testing.assert_array_equal(drawn.conditions.scale, problem.conditions.scale[turns])
    np.testing.assert_array_equal(drawn.conditions.present, problem.conditions.present[turns])


def test_residuals_of_the_simulator_are_added_to_what_is_simulated():
    problem = linear_problem(20)
    plain = simulated(problem, TRUTH, 50, "test").data
    off = simulated(problem, TRUTH, 50, "test", residuals=np.full((3, 6), 0.25)).data
    np.testing.assert_allclose(off - plain, 0.25)


@pytest.mark.parametrize("count", [FEW_SYSTEMS - 1, FEW_SYSTEMS])
def test_of_a_right_linear_model_those_by_the_model_are_the_inverse_information(count):
    problem = linear_problem(count)
    estimate = fit_pseudo_likelihood(problem, [TRUTH])
    both = with_model_errors(problem, estimate, pseudo_scores(problem, estimate.p), NO_PENALTY)
    assert both.model_covariance is not None
    # Squares of 4000 scores of a deviation have an error of 6 %, and errors of half of it.
    ratio = np.sqrt(np.diag(both.model_covariance) / np.diag(estimate.bread))
    np.testing.assert_allclose(ratio, 1.0, atol=0.12)
    np.testing.assert_array_equal(both.robust_covariance, estimate.covariance)
    used = both.model_covariance if count < FEW_SYSTEMS else both.robust_covariance
    np.testing.assert_array_equal(both.covariance, used)


def test_robust_errors_see_noise_that_the_model_does_not_have():
    # The noise of every other system is three times as large.
    problem, alpha, gamma = curve_problem(400)
    start = np.concatenate([alpha, gamma])
    other = np.where(np.arange(400) % 2, 1.0, 3.0)[:, None]
    centre = problem.data.mean(axis=0)
    wrong = replace(problem, data=centre + other * (problem.data - centre))
    for each, least, most in ((problem, 0.8, 1.25), (wrong, 1.3, np.inf)):
        estimate = fit_pseudo_likelihood(each, [start])
        both = with_model_errors(each, estimate, pseudo_scores(each, estimate.p), NO_PENALTY)
        amplitude = 4
        ratio = both.robust_covariance[amplitude, amplitude] / both.model_covariance[4, 4]
        assert least < np.sqrt(ratio) < most


def test_with_an_entry_held_the_others_have_the_covariance_of_the_rest():
    problem = linear_problem(60)
    estimate = fit_pseudo_likelihood(problem, [TRUTH])
    both = with_model_errors(problem, estimate, pseudo_scores(problem, estimate.p), NO_PENALTY)
    held = both.holding([3], problem.free)
    rest = np.array([0, 1, 2, 4, 5])
    information = np.linalg.inv(both.bread)
    inner = np.linalg.inv(information[np.ix_(rest, rest)])
    squares = information @ both.robust_covariance @ information
    exact = inner @ squares[np.ix_(rest, rest)] @ inner
    np.testing.assert_allclose(held.robust_covariance[np.ix_(rest, rest)], exact, rtol=1e-6)
    np.testing.assert_allclose(held.bread[np.ix_(rest, rest)], inner, rtol=1e-8, atol=1e-15)
    for each in (held.covariance, held.model_covariance, held.robust_covariance, held.bread):
        np.testing.assert_array_equal(each[3], 0.0)
        np.testing.assert_array_equal(each[:, 3], 0.0)
