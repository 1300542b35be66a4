"""Groups of systems of a linear model, whose posteriors are normal laws."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from test_posterior import closed_form, linear_problem

from popinv.downstream.mwgrad.study import group_targets, serve_group
from popinv.errors import ConfigError
from popinv.figures.mwgrad import draw_group


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
        found = target.log_density(omega)
        np.testing.assert_allclose(found - found[0], expected - expected[0], atol=1e-8)
        score = -gap @ np.linalg.inv(covariance) * deviations
        np.testing.assert_allclose(target.score(omega), score, atol=1e-8)


def test_least_norm_serves_a_group_and_no_system_is_beyond_the_farthest():
    problem, estimate, _ = linear_problem(8)
    result, metrics = serve_group(problem, estimate, [0, 3], 30, 400, 0.05, ["a", "b"])
    assert metrics["velocity_norm_minnorm"] < 0.3
    assert sum(metrics[f"weight_system_{n}"] for n in (0, 3)) == pytest.approx(1)
    # The group's particles lie between the two posterior means.
    means = [closed_form(problem, estimate[1], n)[0] for n in (0, 3)]
    direction = means[1] - means[0]
    along = (result["z"].values[0].mean(axis=0) - means[0]) @ direction / (direction @ direction)
    assert -0.1 < along < 1.1
    for n in (0, 3):
        assert metrics[f"regret_fixed_system_{n}"] > -0.2
    assert draw_group(result).axes


@pytest.mark.parametrize("systems", [[0, 8], [1, 1], [-1, 2]])
def test_systems_that_do_not_exist_are_refused(systems):
    problem, estimate, _ = linear_problem(8)
    with pytest.raises(ConfigError, match="different numbers from 0 to 7"):
        group_targets(problem, estimate, systems)
