"""Groups of systems of a linear model, whose posteriors are normal laws."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from linear_systems import closed_form, linear_problem

from popinv.charts.matplotlib_writer import drawn
from popinv.errors import ConfigError
from popinv_papers.mwgrad.figures import draw_group
from popinv_papers.mwgrad.study import group_targets, serve_group


def test_targets_are_the_posteriors():
    problem, estimate, _ = linear_problem(8)
    targets = group_targets(problem, estimate, [2, 5])
    deviations = np.exp(estimate[0][2:])
    omega = np.random.default_rng(0).standard_normal((6, 2))
    z = problem.law.sample(torch.from_numpy(estimate[0]), torch.from_numpy(omega)).numpy()
    for target, n in zip(targets, (2, 5), strict=True):
        mean, covariance = closed_form(problem, estimate[1], n)
        gap = z - mean
        expected = -0.5 * np.einsum("ni,ij,nj->n", gap, np.linalg.inv(covariance), gap)
        evaluation = target.log_density(omega)
        np.testing.assert_allclose(evaluation - evaluation[0], expected - expected[0], atol=1e-8)
        score = -gap @ np.linalg.inv(covariance) * deviations
        np.testing.assert_allclose(target.score(omega), score, atol=1e-8)


@pytest.fixture(scope="module")
def served():
    """Return a problem, its estimate, and what serves two of its systems."""
    problem, estimate, _ = linear_problem(8)
    return problem, estimate, *serve_group(problem, estimate, [1, 4], 20, 100, 0.2, ["a", "b"])


def test_least_norm_serves_a_group_and_no_system_is_beyond_the_farthest(served):
    problem, estimate, result, metrics = served
    assert metrics["velocity_norm_minnorm"] < 0.3
    assert sum(metrics[f"weight_system_{n}"] for n in (1, 4)) == pytest.approx(1)
    # The group's particles lie between the two posterior means.
    means = [closed_form(problem, estimate[1], n)[0] for n in (1, 4)]
    direction = means[1] - means[0]
    along = (result["z"].values[0].mean(axis=0) - means[0]) @ direction / (direction @ direction)
    assert -0.1 < along < 1.1
    for n in (1, 4):
        assert metrics[f"regret_fixed_system_{n}"] > -0.2
    assert drawn(draw_group(result)).axes


def test_particles_alone_are_the_posterior(served):
    problem, estimate, result, metrics = served
    prior = np.exp(2 * estimate[0][2:])
    for index, n in enumerate((1, 4)):
        mean, covariance = closed_form(problem, estimate[1], n)
        z = result["z_alone"].values[index]
        np.testing.assert_allclose(z.mean(axis=0), mean, atol=0.01)
        np.testing.assert_allclose(np.cov(z.T, bias=True), covariance, atol=2e-3)
        learnt = 2 - (np.diag(covariance) / prior).sum()
        assert metrics[f"learnt_system_{n}"] == pytest.approx(learnt, abs=0.02)


def test_equal_weights_end_at_the_geometric_mean_of_the_posteriors(served):
    problem, estimate, result, metrics = served
    forms = [closed_form(problem, estimate[1], n) for n in (1, 4)]
    # Without scales and gaps all systems have the same covariance.
    mean = np.mean([form[0] for form in forms], axis=0)
    z = result["z"].sel(rule="fixed").values
    np.testing.assert_allclose(z.mean(axis=0), mean, atol=0.01)
    np.testing.assert_allclose(np.cov(z.T, bias=True), forms[0][1], atol=2e-3)
    for n, form in zip((1, 4), forms, strict=True):
        gap = mean - form[0]
        expected = 0.5 * gap @ np.linalg.solve(form[1], gap)
        assert metrics[f"regret_fixed_system_{n}"] == pytest.approx(expected, abs=0.02)


@pytest.mark.full
def test_the_front_runs_from_one_system_to_the_other():
    problem, estimate, _ = linear_problem(8)
    result, metrics = serve_group(problem, estimate, [1, 4, 5], 20, 100, 0.15, ["a", "b"])
    front = result["front"].values
    # At the ends one of the two systems gives up nothing, and the cost of the other grows between.
    # The last particles are within a hundredth or two of where they stop.
    assert front[0, 1] == pytest.approx(0, abs=0.03)
    assert front[-1, 0] == pytest.approx(0, abs=0.03)
    assert np.all(np.diff(front[:, 0]) < 0.01)
    assert np.all(np.diff(front[:, 1]) > -0.01)
    # Systems that share a covariance C: half the squared distance of the means in the metric of C.
    first, second = result["front_system"].values
    forms = [closed_form(problem, estimate[1], n) for n in (first, second)]
    gap = forms[0][0] - forms[1][0]
    whole = 0.5 * gap @ np.linalg.solve(forms[0][1], gap)
    assert front[-1, 1] == pytest.approx(whole, rel=0.05)
    assert front[4].sum() == pytest.approx(whole / 2, rel=0.1)
    assert result["regret_from"].shape == (3, 3)
    assert metrics["regret_minnorm_spread_system_1"] >= 0


def test_too_few_particles_are_refused():
    problem, estimate, _ = linear_problem(8)
    with pytest.raises(ConfigError, match="particles is 3: must be at least 4"):
        serve_group(problem, estimate, [0, 1], 3, 5, 0.05, ["a", "b"])


@pytest.mark.parametrize("systems", [[0, 8], [1, 1], [-1, 2]])
def test_systems_that_do_not_exist_are_refused(systems):
    problem, estimate, _ = linear_problem(8)
    with pytest.raises(ConfigError, match="different numbers from 0 to 7"):
        group_targets(problem, estimate, systems)
