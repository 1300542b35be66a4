"""The marginal likelihood against closed forms, quadrature, and its own derivatives."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from bent_population import BENT, bent_problem, by_quadrature
from linear_population import (
    PLACES,
    TRUTH,
    exact_log_likelihood,
    exact_scores,
    line,
    linear_problem,
)
from scipy.stats import norm
from slopes import slopes
from tiers import parameters

from popinv.errors import DivergenceError
from popinv.inference.density.problem import Problem
from popinv.inference.estimators import marginal_estimate
from popinv.inference.estimators.fit_marginal import fit_marginal_likelihood
from popinv.inference.estimators.fit_pseudo import fit_pseudo_likelihood
from popinv.inference.estimators.scoring import Point, begin, state_arrays, state_of
from popinv.inference.integrate import marginal, marginal_near
from popinv.inference.integrate.marginal import MarginalSettings, evaluate, further_modes
from popinv.population.laws.gaussian import normal_law
from popinv.population.noise.unstructured import IsotropicNoise

MIX = torch.from_numpy(np.random.default_rng(1).standard_normal((6, 5)))


@pytest.mark.parametrize(("scales", "gaps"), [(False, False), (True, False), (True, True)])
def test_of_a_linear_model_it_is_exact(scales, gaps):
    problem = linear_problem(30, scales=scales, gaps=gaps)
    evaluation = evaluate(problem, TRUTH + 0.1, MarginalSettings(draws=16))
    exact = exact_log_likelihood(problem, TRUTH + 0.1)
    # Proposals are the posterior but for the error of the modes, which are searched until no step
    # promises 1e-4 of a log density; the control variates leave no more variance than that.
    np.testing.assert_allclose(evaluation.log_likelihood, exact, atol=1e-4)
    np.testing.assert_allclose(evaluation.scores, exact_scores(problem, TRUTH + 0.1), atol=3e-4)
    np.testing.assert_allclose(evaluation.effective_share, 1.0, atol=2e-3)
    assert np.abs(evaluation.score_error).max() < 3e-4


def test_posteriors_of_a_linear_model_are_normal():
    problem = linear_problem(20)
    evaluation = evaluate(problem, TRUTH, MarginalSettings(draws=256))
    slopes = np.column_stack([np.ones(6), PLACES]) * np.exp(TRUTH[2:4])
    noise = problem.noise.covariance(torch.from_numpy(TRUTH[4:])).numpy()
    weights = np.linalg.solve(noise, slopes)
    covariance = np.linalg.inv(np.eye(2) + slopes.T @ weights)
    residual = problem.data - line(torch.from_numpy(TRUTH[None, :2])).numpy()
    mean = residual @ weights @ covariance
    np.testing.assert_allclose(evaluation.modes, mean, atol=1e-3)
    # 256 even draws, of deviations below one.
    np.testing.assert_allclose(evaluation.mean, mean, atol=0.02)
    wanted = np.broadcast_to(np.diag(covariance), (20, 2))
    np.testing.assert_allclose(evaluation.variance, wanted, rtol=0.1)


@pytest.mark.parametrize("deviation", [0.3, 0.05])
def test_of_a_curved_model_it_is_that_of_quadrature(deviation):
    problem = bent_problem(12, deviation)
    p = BENT.copy()
    p[4] = np.log(deviation)
    exact = by_quadrature(problem, p)
    evaluation = evaluate(problem, p, MarginalSettings(draws=4096))
    # 4096 draws with at least a tenth of them effective: 0.05 each.
    assert np.abs(evaluation.log_likelihood - exact).max() < 0.05


def test_corrections_of_the_proposals_are_taken_where_they_help():
    problem = bent_problem(40, 0.3, seed=2)
    p = BENT.copy()
    p[4] = np.log(0.3)
    plain = evaluate(problem, p, MarginalSettings(corrections=()))
    better = evaluate(problem, p, MarginalSettings())
    assert set(better.corrections) <= {0, 2, 4}
    assert better.corrections.max() > 0
    assert better.effective_share.mean() > plain.effective_share.mean()


def test_scores_are_the_derivatives_of_quadrature():
    problem = bent_problem(8, 0.2)
    p = BENT + np.array([0.1, 0.0, 0.1, -0.1, np.log(0.2)])
    evaluation = evaluate(problem, p, MarginalSettings(draws=4096))
    exact = slopes(lambda q: by_quadrature(problem, q), p, 1e-3)
    # 4096 draws, at least a tenth of them effective, and scores of a few units.
    np.testing.assert_allclose(evaluation.scores, exact, atol=0.15)


def squared(count: int, mean: float = 1.5, deviation: float = 0.2) -> Problem:
    """Return squares of normal parameters, whose posteriors may have a mode on either side."""
    rng = np.random.default_rng(0)

    def square(z):
        return torch.cat([z**2, 0.5 * z**2], dim=1)

    z = torch.from_numpy(mean + deviation * rng.standard_normal((count, 1)))
    data = square(z).numpy() + 0.1 * rng.standard_normal((count, 2))
    return Problem(data, square, normal_law(["a"]), IsotropicNoise(2), np.full(3, 0.5))


def test_further_modes_are_found_where_they_count():
    problem, settings = squared(50), MarginalSettings()
    everyone, nobody = np.arange(50), np.zeros(0, dtype=int)
    p = np.array([0.0, np.log(1.5), np.log(0.1)])
    evaluation = evaluate(problem, p, settings)
    # A law about zero makes both sides alike in all systems.
    found, share = further_modes(problem, p, settings, evaluation, nobody, everyone)
    np.testing.assert_array_equal(found, everyone)
    assert share == 1.0
    # Systems whose draws cover several modes are not searched.
    found, share = further_modes(problem, p, settings, evaluation, everyone[:20], everyone)
    np.testing.assert_array_equal(found, everyone[20:])
    assert share == 1.0
    # A law on one side leaves nothing to the other.
    one_sided = np.array([1.5, np.log(0.2), np.log(0.1)])
    evaluation = evaluate(problem, one_sided, settings)
    found, share = further_modes(problem, one_sided, settings, evaluation, nobody, everyone)
    assert not len(found)
    assert share == 0.0


@pytest.mark.parametrize(("share", "counts"), [(1.3, True), (0.75, False)])
def test_a_further_mode_counts_from_a_small_share_of_the_evidence_on(share, counts):
    # z^2 is 2.25, so that the modes at 1.5 and -1.5 have the curvature, and the law weighs them.
    problem = squared(3, 1.5, 0.0)
    problem = replace(problem, data=np.tile([2.25, 1.125], (3, 1)))
    deviation, weight = 0.5, -np.log(share * marginal._COMPARABLE)
    mean = weight * deviation**2 / 3
    p = np.array([mean, np.log(deviation), np.log(0.001)])
    settings, nobody = MarginalSettings(), np.zeros(0, dtype=int)
    evaluation = evaluate(problem, p, settings)
    np.testing.assert_allclose(mean + deviation * evaluation.modes[:, 0], 1.5, atol=1e-3)
    found, _ = further_modes(problem, p, settings, evaluation, nobody, np.arange(3))
    assert len(found) == (3 if counts else 0)


@pytest.mark.full
@parameters("limit", ["_MOST_HARD"], full=["_MOST_DIMENSIONS"])
def test_several_modes_are_a_doubt_where_no_draws_can_cover_them(monkeypatch, limit):
    problem, p = squared(40, 0.5, 1.0), np.array([0.5, 0.0, np.log(0.1)])
    monkeypatch.setattr(marginal_near, limit, 0)
    states = []
    doubted = fit_marginal_likelihood(problem, p, progress=states.append)
    assert not doubted.passes
    assert "several modes" in doubted.reason
    # What cannot be adapted is not tried again and again.
    assert int(states[-1].context["number"]) < 5


@pytest.mark.full
def test_its_errors_are_those_seen_over_data_sets_and_not_larger_than_the_pseudo_likelihoods():
    errors, predicted, others = [], [], []
    for seed in range(30):
        problem = bent_problem(200, 0.3, seed=seed)
        truth = BENT.copy()
        truth[4] = np.log(0.3)
        start = fit_pseudo_likelihood(problem, [truth])
        estimate = fit_marginal_likelihood(problem, start.p)
        assert estimate.passes, estimate.reason
        errors.append(estimate.p - truth)
        predicted.append(estimate.standard_errors)
        others.append(start.p - truth)
    rms = np.sqrt(np.mean(np.square(errors), axis=0))
    ratio = rms / np.sqrt(np.mean(np.square(predicted), axis=0))
    # A root mean square of 30 has a relative error of 13 %.
    assert np.all((ratio > 0.6) & (ratio < 1.4))
    assert np.mean(rms / np.sqrt(np.mean(np.square(others), axis=0))) < 1.0


@pytest.mark.full
def test_an_interrupted_ascent_goes_on_to_the_same_bits():
    problem = bent_problem(25, 0.2, seed=4)
    start = BENT + np.array([0.2, -0.1, 0.3, 0.2, -1.3])
    states = []
    whole = fit_marginal_likelihood(problem, start, progress=states.append)
    assert len(states) > 2
    # No system is hard before the draws or the modes show it.
    first = states[0].context
    assert (int(first["number"]), int(first["steps"]), first["hard"].tolist()) == (0, 0, [])
    kept = state_of(problem, {k: v.copy() for k, v in state_arrays(problem, states[0]).items()})
    resumed = fit_marginal_likelihood(problem, start, state=kept)
    np.testing.assert_array_equal(resumed.p, whole.p)
    np.testing.assert_array_equal(resumed.covariance, whole.covariance)
    np.testing.assert_array_equal(resumed.arrays["scores"], whole.arrays["scores"])
    share = whole.arrays["effective_share"]
    assert whole.diagnostics["effective_share"] == pytest.approx(share.mean(), rel=1e-12)


def test_what_single_systems_say_does_not_depend_on_the_others():
    problem = bent_problem(30, 0.3)
    p = BENT + np.array([0, 0, 0, 0, np.log(0.3)])
    whole = evaluate(problem, p, MarginalSettings())
    some = np.array([3, 17, 29])
    alone = evaluate(problem.of_systems(some), p, MarginalSettings(), numbers=some)
    np.testing.assert_allclose(alone.log_likelihood, whole.log_likelihood[some], rtol=1e-10)
    np.testing.assert_allclose(alone.scores, whole.scores[some], rtol=1e-8, atol=1e-10)


def test_the_error_of_the_draws_adds_nothing_to_the_squares_of_the_scores():
    problem = bent_problem(200, 0.3)
    evaluation = evaluate(problem, BENT, MarginalSettings(draws=64))
    rng = np.random.default_rng(0)
    scores, error = rng.standard_normal((200, 3)), 0.5 * rng.standard_normal((200, 3))
    of_draws = error.T @ error
    both = replace(evaluation, scores=scores, score_error=error)
    seen = marginal_estimate.squares_of(problem, both)
    np.testing.assert_allclose(seen, scores.T @ scores - of_draws, rtol=1e-12)
    # What is left of a score that is all error, or of few systems, need not be positive.
    for rows, scale in ((200, 3.0), (3, 1.0)):
        given = {"scores": scores[:rows], "score_error": scale * error[:rows]}
        own = problem.of_systems(np.arange(rows))
        plain = marginal_estimate.squares_of(own, replace(evaluation, **given))
        # Sums of products in another order.
        np.testing.assert_allclose(plain, scores[:rows].T @ scores[:rows], rtol=1e-13)


def test_held_halves_have_no_scores():
    problem = replace(bent_problem(20, 0.3), free_law=False)
    evaluation = evaluate(problem, BENT, MarginalSettings())
    np.testing.assert_array_equal(evaluation.scores[:, :4], 0.0)
    assert np.abs(evaluation.scores[:, 4]).min() > 0


def test_integrals_beyond_hope_are_refused_at_the_start():
    def steps(z: torch.Tensor) -> torch.Tensor:
        # A Gaussian about a mode says little of a posterior of many narrow pieces.
        return torch.tanh(30 * torch.sin(9 * z @ MIX))

    law, noise = normal_law([f"z_{i}" for i in range(6)]), IsotropicNoise(5)
    rng = np.random.default_rng(0)
    data = steps(torch.from_numpy(rng.standard_normal((15, 6)))).numpy()
    problem = Problem(data + 0.05 * rng.standard_normal((15, 5)), steps, law, noise, np.ones(13))
    p = np.array([0.0] * 12 + [np.log(0.05)])
    with pytest.raises(DivergenceError, match=r"of the draws count, and \d+% of the systems"):
        fit_marginal_likelihood(problem, p)


@pytest.mark.parametrize("name", ["poor_share", "several_modes_share"])
@pytest.mark.parametrize(
    ("systems", "count", "doubted"),
    [(26, 1, False), (26, 2, True), (1000, 10, False), (1000, 15, True)],
)
def test_a_system_in_a_hundred_may_have_a_poor_integral(name, systems, count, doubted):
    shares = dict.fromkeys(("poor_share", "several_modes_share"), 0.0) | {name: count / systems}
    others = {"draws_shift": 0.0, "draws_error": 0.0, "curvature_definite": 1.0}
    state = replace(begin(Point(np.zeros(1), 0.0, np.zeros(1), np.eye(1))), arrived=True)
    reason = marginal_estimate._doubt(state, {"effective_share": 0.9} | shares | others, systems)
    assert bool(reason) == doubted


def test_the_value_alone_reaches_tails_that_are_as_wide_as_the_law():
    # Far from its mode, the posterior of a saturated signal follows the law.
    law, noise = normal_law(["level"]), IsotropicNoise(1)
    data = np.linspace(-0.3, 0.3, 7)[:, None]
    problem = Problem(data, lambda z: torch.tanh(4 * z), law, noise, np.full(3, 0.5), seed=1)
    p = np.array([0.0, 0.0, np.log(0.3)])
    found = marginal.evaluate(problem, p, MarginalSettings(draws=4096, scores=False))
    z = np.linspace(-9, 9, 20_001)
    density = norm.pdf(z) * norm.pdf(data, np.tanh(4 * z), 0.3)
    exact = np.log(density.sum(axis=1) * (z[1] - z[0]))
    error = np.sqrt(np.mean(found.value_error**2))
    assert error < 2e-3
    np.testing.assert_allclose(found.log_likelihood, exact, atol=4 * error + 1e-4)
