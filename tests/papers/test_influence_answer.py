"""The answer's change due to the surrogate's error, against refits, and the choice of solves by it.

The linear population of :mod:`linear_population` is refitted through maps that are slightly wrong.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from linear_population import PLACES, TRUTH, line, linear_problem
from tiers import parameters

from popinv.inference.estimators.estimate import restricted_inverse
from popinv.inference.estimators.fit_pseudo import fit_pseudo_likelihood
from popinv.inference.integrate import pseudo
from popinv.inference.integrate.model_moments import matched_draws, moments_of_systems
from popinv.inference.integrate.penalty import noise_penalty
from popinv.inference.uncertainty.scores import pseudo_scores
from popinv.population.noise.terms import replicated_noise
from popinv.surrogate.training import TrainingData, TrainingSettings, train
from popinv_papers.influence.worth import (
    AnswerSlope,
    answer_order,
    answer_slope,
    by_worth,
    draws_of_law,
    kernel_of,
    scaled_slopes,
)

STEP = 1e-3


def error(z: torch.Tensor) -> torch.Tensor:
    """Return an error of the surrogate that bends with both parameters."""
    places = torch.from_numpy(PLACES)
    return torch.sin(2 * z[:, :1] + places) + 0.5 * z[:, 1:] ** 2 * places


def shift(slope: AnswerSlope, errors: np.ndarray) -> np.ndarray:
    """Return the change (n_p,) of the answer by errors (M, d_y) of the surrogate."""
    return np.einsum("mpy,my->p", slope.each, errors)


def size(slope: AnswerSlope, change: np.ndarray) -> float:
    """Return the length of a change (n_p,) in standard errors of the answer."""
    return float(np.sqrt(change @ slope.precision @ change))


def information_at(problem, p):
    """Return the expected information of all systems at p."""
    gamma = torch.from_numpy(p[problem.d_alpha :].copy())
    alpha = torch.from_numpy(p[: problem.d_alpha].copy())
    moments = moments_of_systems(problem, alpha, gamma, matched_draws(problem))
    return pseudo.evaluate(problem, moments).information + noise_penalty(problem, gamma).curvature


def with_exact_moments(problem, p):
    """Return the problem with data that have the model's mean and covariance at p."""
    alpha, gamma = (torch.from_numpy(part.copy()) for part in problem.split(p))
    moments = moments_of_systems(problem, alpha, gamma, matched_draws(problem))
    covariance = (moments.signal + moments.noise)[0].numpy()
    centred = problem.data - problem.data.mean(axis=0)
    own = np.linalg.cholesky(centred.T @ centred / len(centred))
    white = np.linalg.solve(own, centred.T).T
    return replace(problem, data=moments.mean[0].numpy() + white @ np.linalg.cholesky(covariance).T)


def refitted(problem, p, bread):
    """Return the root of the sum of all scores, by steps with a fixed inverse information."""
    for _ in range(60):
        step = bread @ pseudo_scores(problem, p)(problem).sum(axis=0)
        p = p + step
        if np.abs(step).max() < 1e-12:
            return p
    raise AssertionError("the steps do not converge")


def central_difference(problem, p, bread):
    """Return the change of the answer for each unit of the surrogate's error."""
    up, down = (
        refitted(problem.through(lambda z, s=sign: line(z) + s * STEP * error(z)), p, bread)
        for sign in (1, -1)
    )
    return (up - down) / (2 * STEP)


def test_the_slope_is_that_of_refits_through_a_wrong_map():
    problem = with_exact_moments(linear_problem(count=300), TRUTH)
    bread = restricted_inverse(information_at(problem, TRUTH), problem.free)
    # The draws of the moments themselves, so that no other draws differ.
    alpha = torch.from_numpy(TRUTH[:4])
    z = problem.law.sample(alpha, matched_draws(problem)).numpy()
    slope = answer_slope(problem, TRUTH, bread, bread, z)
    found = shift(slope, error(torch.from_numpy(z)).numpy())
    expected = central_difference(problem, TRUTH, bread)
    assert size(slope, expected) > 1.0
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())
    lengths = np.einsum("mqy,my->q", slope.in_errors, error(torch.from_numpy(z)).numpy())
    assert np.linalg.norm(lengths) == pytest.approx(size(slope, found))


@pytest.mark.full
@parameters("conditions", [{"scales": True, "gaps": True}], full=[{"scales": True}, {"gaps": True}])
def test_draws_take_noise_scales_and_gaps_of_the_systems(conditions):
    problem = linear_problem(count=2000, seed=2, **conditions)
    estimate = fit_pseudo_likelihood(problem, [TRUTH])
    z, systems = draws_of_law(problem, estimate.p, 2000, "draws")
    assert systems is not None
    slope = answer_slope(problem, estimate.p, estimate.bread, estimate.covariance, z, systems)
    found = shift(slope, error(torch.from_numpy(z)).numpy())
    expected = central_difference(problem, refitted(problem, estimate.p, estimate.bread),
                                  estimate.bread)  # fmt: skip
    # Moments of 2000 systems are those of the model up to some per cent.
    assert size(slope, found - expected) < 0.14 * size(slope, expected)
    with pytest.raises(ValueError, match="need the systems"):
        answer_slope(problem, estimate.p, estimate.bread, estimate.covariance, z)


def test_replicates_share_the_error():
    one = linear_problem(count=300)
    twice = replace(one, data=np.tile(one.data, 2), noise=replicated_noise(one.noise, 2)).through(
        line
    )
    bread = restricted_inverse(information_at(twice, TRUTH), twice.free)
    z, systems = draws_of_law(twice, TRUTH, 2000, "draws")
    assert systems is None
    np.testing.assert_allclose(z.mean(axis=0), TRUTH[:2], atol=0.1)
    np.testing.assert_allclose(z.std(axis=0), np.exp(TRUTH[2:4]), rtol=0.1)
    slope = answer_slope(twice, TRUTH, bread, bread, z)
    assert slope.each.shape == (2000, 6, 6)
    # An intercept that is one too large moves the law's mean down by one, and nothing else.
    found = shift(slope, np.ones((2000, 6)))
    np.testing.assert_allclose(found[:4], [-1, 0, 0, 0], atol=0.1)


def test_parameters_that_are_held_do_not_move():
    problem = replace(linear_problem(), fixed=(1,))
    estimate = fit_pseudo_likelihood(problem, [TRUTH])
    z, _ = draws_of_law(problem, estimate.p, 500, "draws")
    slope = answer_slope(problem, estimate.p, estimate.bread, estimate.covariance, z)
    moved = shift(slope, error(torch.from_numpy(z)).numpy())
    assert moved[1] == 0.0
    assert np.all(moved[[0, 2, 3, 4, 5]] != 0.0)


def points():
    """Return kernel, solved points, draws, candidates and slopes."""
    rng = np.random.default_rng(3)
    places = rng.uniform(-1, 1, (60, 2))
    solved, draws, candidates = np.arange(10), np.arange(10, 40), np.arange(40, 60)
    slopes = rng.standard_normal((30, 3))
    return kernel_of(places, solved), solved, draws, candidates, slopes


def variance(kernel, solved, draws, slopes, nugget):
    """Return the variance of the answer's error that is left by the solves."""
    known = kernel[np.ix_(solved, solved)] + nugget * np.eye(len(solved))
    between = kernel[np.ix_(solved, draws)]
    left = kernel[np.ix_(draws, draws)] - between.T @ np.linalg.solve(known, between)
    return float(np.trace(slopes.T @ left @ slopes))


def test_each_choice_is_the_best_of_all_and_lowers_the_variance_by_its_worth():
    kernel, solved, draws, candidates, slopes = points()
    order, worth = by_worth(kernel, solved, draws, candidates, slopes, 6, nugget=0.05)
    now = variance(kernel, solved, draws, slopes, 0.05)
    for best, gain in zip(order, worth, strict=True):
        falls = [
            now - variance(kernel, np.append(solved, c), draws, slopes, 0.05) for c in candidates
        ]
        assert gain == pytest.approx(falls[best], rel=1e-6)
        # What is solved already may be solved again here, but not there.
        left = [fall for c, fall in zip(candidates, falls, strict=True) if c not in solved]
        assert gain == pytest.approx(max(left), rel=1e-6)
        solved = np.append(solved, candidates[best])
        now -= gain
    assert len(set(order)) == 6


def test_of_two_equal_candidates_one_waits():
    kernel, solved, draws, candidates, slopes = points()
    first, _ = by_worth(kernel, solved, draws, candidates, slopes, 1, nugget=1e-3)
    # The best candidate comes twice.
    twice = np.append(candidates, candidates[first])
    order, worth = by_worth(kernel, solved, draws, twice, slopes, 21, nugget=1e-3)
    assert sorted(order) == list(range(21))
    # Rounding tells which of the two comes first.
    early, late = np.flatnonzero(np.isin(order, [first[0], 20]))
    assert early == 0
    assert late > 1
    # Without the first, the second would be worth as much as it.
    assert worth[late] < 0.05 * worth[0]


def test_the_kernel_has_the_median_distance_of_the_solved():
    places = np.random.default_rng(5).standard_normal((12, 3))
    kernel = kernel_of(places, np.arange(6))
    distances = np.linalg.norm(places[:, None] - places, axis=2)
    scale = np.median(distances[:6, :6][np.triu_indices(6, 1)] ** 2)
    np.testing.assert_allclose(kernel, np.exp(-(distances**2) / (2 * scale)), rtol=1e-9)


def test_slopes_are_scaled_by_the_residuals():
    rng = np.random.default_rng(6)
    each, residuals = rng.standard_normal((5, 2, 3)), rng.standard_normal((40, 3))
    precision = np.array([[2.0, 0.5], [0.5, 1.0]])
    scaled = scaled_slopes(AnswerSlope(each, precision), residuals)
    assert scaled.shape == (5, 6)
    for slope, row in zip(each, scaled, strict=True):
        covariance = slope @ (residuals.T @ residuals / 40) @ slope.T
        assert row @ row == pytest.approx(np.trace(precision @ covariance))


def test_solves_that_matter_to_the_answer_come_first():
    problem = linear_problem()
    rng = np.random.default_rng(0)
    z = 3 * rng.standard_normal((80, 2))
    settings = TrainingSettings(
        hyperparameters={"width": 12, "depth": 1, "dtype": "float64"},
        max_epochs=40, batch_size=16,
    )  # fmt: skip
    y = (line(torch.from_numpy(z)) + error(torch.from_numpy(z))).numpy()
    surrogate, _ = train(TrainingData(z, y), settings, progress=False)
    through = problem.through(surrogate)
    estimate = fit_pseudo_likelihood(through, [TRUTH])
    near, _ = draws_of_law(through, estimate.p, 30, "near")
    # The law has no draws here.
    far = near + 15 * np.exp(estimate.p[2:4])
    order, worth = answer_order(
        through, estimate, surrogate, (z, y), np.concatenate([far, near]), 10, "order"
    )
    assert np.all(order[:8] >= 30)
    assert np.all(np.diff(worth[:4]) < 0)
    again, _ = answer_order(
        through, estimate, surrogate, (z, y), np.concatenate([far, near]), 10, "order"
    )
    np.testing.assert_array_equal(order, again)
