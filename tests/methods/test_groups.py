"""Tests of a group's homogeneity: closed forms, rates of errors, and outliers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr
from linear_systems import ALPHA, MATRIX, linear_problem, with_gaps
from scipy.stats import chi2
from tiers import parameters

from popinv.charts.matplotlib_writer import drawn
from popinv.errors import DivergenceError
from popinv.methods.groups import group_tests, use
from popinv.methods.groups.comparison import compare_group, statement
from popinv.methods.groups.figures import draw_tests
from popinv.methods.groups.method import Groups
from popinv.methods.outcome import StudyInput


def group_p_value(scores: np.ndarray, information: np.ndarray) -> float:
    return np.exp(group_tests.group_log_p_value(scores, information))


def tail(weights: np.ndarray, value: float) -> float:
    return np.exp(group_tests.log_tail(weights, value))


def factors(problem, estimate) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return what was seen of each system, and a root of the covariance of its noise."""
    covariance = problem.noise.covariance(torch.from_numpy(estimate[1])).numpy()
    found = []
    for n in range(len(problem.data)):
        seen, scale = np.ones(5, dtype=bool), 1.0
        if problem.conditions is not None:
            seen, scale = problem.conditions.present[n], problem.conditions.scale[n]
        found.append((seen, np.linalg.cholesky(scale**2 * covariance[np.ix_(seen, seen)])))
    return found


@pytest.mark.parametrize("with_conditions", [False, True])
def test_pooled_optima_of_a_linear_model(with_conditions):
    problem, estimate, _ = linear_problem(6, with_gaps(6) if with_conditions else None)
    pooled = group_tests.pooled_optima(problem, estimate, [[0, 1, 4], [2, 5, 3]])
    roots = factors(problem, estimate)
    # The Jacobians of the whitened observations in omega.
    slopes = [np.linalg.solve(root, MATRIX[seen] * np.exp(ALPHA[2:])) for seen, root in roots]
    for b, group in enumerate(([0, 1, 4], [2, 5, 3])):
        white = []
        for n in group:
            seen, root = roots[n]
            white.append(np.linalg.solve(root, (problem.data[n] - MATRIX @ ALPHA[:2])[seen]))
        normal = np.eye(2) + sum(slopes[n].T @ slopes[n] for n in group)
        right = sum(slopes[n].T @ r for n, r in zip(group, white, strict=True))
        omega = np.linalg.solve(normal, right)
        np.testing.assert_allclose(pooled.omega[b], omega, atol=1e-6)
        for k, n in enumerate(group):
            score = slopes[n].T @ (white[k] - slopes[n] @ omega)
            np.testing.assert_allclose(pooled.scores[b, k], score, atol=1e-4)
            np.testing.assert_allclose(
                pooled.information[b, k], slopes[n].T @ slopes[n], rtol=1e-5, atol=1e-8
            )
        # The pulls of all systems and of the population balance.
        np.testing.assert_allclose(pooled.scores[b].sum(axis=0), omega, atol=1e-4)


def test_an_optimum_that_is_not_found_is_an_error(monkeypatch):
    monkeypatch.setattr("popinv.methods.groups.group_tests._STEPS", 0)
    problem, estimate, _ = linear_problem(6)
    with pytest.raises(DivergenceError, match=r"systems \[0, 1\] best in 0 steps"):
        group_tests.pooled_optima(problem, estimate, [[0, 1]])


def test_scores_have_their_covariance():
    problem, estimate, _ = linear_problem(6, with_gaps(6))
    rows = [[0, 1, 4]] * 4000
    pooled = group_tests.pooled_optima(
        problem, estimate, rows, group_tests.simulated_groups(problem, estimate, rows, "a")
    )
    draws = pooled.scores.reshape(4000, -1)
    expected = group_tests._covariance(pooled.information[0]).reshape(6, 6)
    np.testing.assert_allclose(draws.T @ draws / 4000, expected, atol=0.08 * np.abs(expected).max())


@pytest.mark.parametrize("freedom", [1, 2, 5])
def test_equal_weights_have_the_tail_of_chi_squared(freedom):
    for p_value in (0.9, 0.3, 0.05, 1e-3, 1e-6):
        found = tail(np.full(freedom, 0.7), 0.7 * chi2.isf(p_value, freedom))
        assert found == pytest.approx(p_value, rel=0.1)


def test_the_tail_of_unequal_weights():
    weights = np.array([1.0, 0.5, 0.1, 0.02, 1e-12, -1e-15])
    draws = np.random.default_rng(0).chisquare(1, (200_000, 6)) @ weights
    for share in (0.5, 0.1, 0.01):
        value = np.quantile(draws, 1 - share)
        assert tail(weights, value) == pytest.approx(share, rel=0.06)
    assert tail(weights, weights.sum()) == pytest.approx((draws > weights.sum()).mean(), rel=0.03)
    assert tail(weights, 0.0) == tail(np.zeros(3), 1.0) == 1.0


def test_holm_goes_down_step_by_step():
    np.testing.assert_allclose(group_tests.adjusted(np.array([0.5, 0.01, 0.02])), [0.5, 0.03, 0.04])
    np.testing.assert_allclose(group_tests.adjusted(np.array([0.9, 0.8])), [1.0, 1.0])


def test_equal_weights_are_not_chi_squared_with_all_parameters():
    # The weight of a direction is lambda / (1 + lambda), less than one, K - 1 times.
    problem, estimate, _ = linear_problem(6)
    rows = [[0, 1, 2, 3]] * 400
    pooled = group_tests.pooled_optima(
        problem, estimate, rows, group_tests.simulated_groups(problem, estimate, rows, "b")
    )
    both = list(zip(pooled.scores, pooled.information, strict=True))
    ours = np.array([group_p_value(*one) for one in both])
    inverse = np.linalg.inv(np.eye(2) + pooled.information[0, 0])
    statistics = np.einsum("bki,ij,bkj->b", pooled.scores, inverse, pooled.scores)
    assert 0.02 < (ours < 0.05).mean() < 0.085
    assert (chi2.sf(statistics, 4 * 2) < 0.05).mean() < 0.02


@parameters("count", [2], full=[8])
def test_alike_systems_fail_in_five_percent(count):
    # The small groups differ in noise and gaps; in the large one an outlier is as clear as others.
    problem, estimate, _ = linear_problem(8, with_gaps(8) if count < 4 else None)
    rates = group_tests.error_rates(problem, estimate, range(count), 200, of_pairs=count < 4)
    # 200 groups: three binomial deviations.
    for rate in (rates.group, rates.systems, rates.pairs)[: 3 if count < 4 else 2]:
        assert abs(rate - 0.05) < 3 * (0.05 * 0.95 / 200) ** 0.5
    if count > 2:
        assert rates.found > 0.25
        assert rates.dragged < 0.12


def one_outlier(seed: int):
    """Return a problem of eight systems that are alike but for number 5, which is clearly off."""
    problem, estimate, z = linear_problem(8, seed=seed)
    noise = problem.data - z @ MATRIX.T
    data = z[0] @ MATRIX.T + noise
    data[5] += MATRIX @ [4.0, -3.0]
    return replace(problem, data=data), estimate


def test_one_clear_outlier_among_eight_is_named_alone():
    named = [group_tests.examine(*one_outlier(seed), range(8)).apart for seed in range(12)]
    assert all(5 in apart for apart in named)
    # An innocent goes with it in 5 % of the cases.
    assert sum(apart == (5,) for apart in named) >= 10
    answer = group_tests.examine(*one_outlier(1), range(8))
    assert answer.p_value < 1e-6
    assert answer.systems[5] < 1e-6
    assert np.delete(answer.systems, 5).min() > 0.01
    pairs = answer.pairs.copy()
    assert np.delete(pairs[5], 5).max() < 0.01
    assert np.delete(np.delete(pairs, 5, axis=0), 5, axis=1).min() > 0.01


@pytest.mark.parametrize("far", [1.0, 30.0])
def test_two_outliers_do_not_hide_each_other(far):
    problem, estimate = one_outlier(1)
    data = problem.data.copy()
    # So far that without either of them the probability is below the smallest number.
    data[2] += far * MATRIX @ [-4.0, 3.0]
    data[5] += (far - 1) * MATRIX @ [4.0, -3.0]
    answer = group_tests.examine(replace(problem, data=data), estimate, range(8))
    assert sorted(answer.apart) == [2, 5]
    assert statement(range(10, 18), answer) == (
        "systems 12, 15 stand apart; one set of parameters may serve the others"
    )


def test_answers_in_words():
    problem, estimate = one_outlier(1)
    alike, _ = compare_group(problem, estimate, [0, 2, 3], 20)
    assert not alike["apart"].values.any()
    result, metrics = compare_group(problem, estimate, [3, 5, 6], 20)
    assert (
        metrics["statement"] == "system 5 stands apart; one set of parameters may serve the others"
    )
    assert result["apart"].values.tolist() == [0, 1, 0]
    # No simulated group of alike systems is as far apart.
    assert metrics["p_value_simulated"] == pytest.approx(1 / 21)
    assert metrics["p_value_system_5"] < 1e-6 < metrics["p_value_system_3"]
    assert drawn(draw_tests(result)).axes
    two = group_tests.examine(problem, estimate, [4, 5])
    assert statement([4, 5], two) == "no two systems of the group can have the same parameters"
    assert statement([2, 3], group_tests.examine(problem, estimate, [2, 3])) == (
        "one set of parameters may serve all systems of the group"
    )


def test_a_system_against_the_rest_is_a_pair_of_two():
    problem, estimate, _ = linear_problem(4)
    pooled = group_tests.pooled_optima(problem, estimate, [[0, 3]])
    first, second = group_tests.system_p_values(pooled.scores[0], pooled.information[0])
    whole = group_p_value(pooled.scores[0], pooled.information[0])
    # In a pair both pull in nearly opposite directions with one force.
    assert 1 / 3 < first / second < 3
    assert min(first, second) / 3 < whole < 3 * max(first, second)


def test_the_use_on_a_study_states_what_the_tests_say(monkeypatch):
    problem, (alpha, gamma) = one_outlier(1)
    monkeypatch.setattr(use, "surrogate_of", lambda stored: stored)
    monkeypatch.setattr(use, "descent_problem", lambda *others: problem)
    stores = {
        "surrogate": xr.Dataset(),
        "observations": xr.Dataset(),
        "population": xr.Dataset({"alpha": ("law", alpha), "gamma": ("noise", gamma)}),
    }
    asked = Groups(systems=[0, 2, 5], simulated=20)
    outcome = use.use(StudyInput(asked, 0, stores))
    assert outcome.metrics["statement"] == (
        "system 5 stands apart; one set of parameters may serve the others"
    )
    assert outcome.metrics["group_size"] == 3
    assert outcome.metrics["p_value_system_5"] < 1e-6
    # How often the tests err is measured on as many simulated groups as the study asks for.
    assert outcome.metrics["simulated_groups"] == 20
    assert 0 <= outcome.metrics["false_positives"] < 0.3
    assert outcome.metrics["outlier_found"] > 0.2
    assert outcome.result is not None
    assert outcome.result["group"].values.tolist() == [0, 2, 5]
    (invariant,) = outcome.invariants
    assert invariant.name == "systems_in_other_order"
    assert invariant.difference < 1e-8
    assert outcome.all_metrics["null_invariant_systems_in_other_order"] == invariant.difference
    assert drawn(outcome.figures["tests"]).axes
