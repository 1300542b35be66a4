"""Posteriors of a linear model against the closed form, and their coverage."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from popinv.downstream.posterior.figures import draw_calibration, draw_systems
from popinv.downstream.posterior.mixing import effective_sample_size, split_r_hat
from popinv.downstream.posterior.study import (
    coverage_metrics,
    elliptical_slice,
    posterior_dataset,
    sample_posteriors,
    varying,
)
from popinv.inference.conditions import Conditions
from popinv.inference.problem import Problem
from popinv.population.laws.normal.law import NormalLaw
from popinv.population.noise.kernel.noise import KernelNoise

PLACES = np.linspace(0.1, 0.9, 5)[:, None]
MATRIX = np.array([[1.0, 0.2], [0.5, 1.0], [-0.3, 0.8], [0.1, -1.0], [0.7, 0.0]])
ALPHA = np.array([1.0, -0.5, np.log(0.6), np.log(0.4)])


def linear_problem(count: int = 40, conditions: Conditions | None = None, seed: int = 0):
    """Return a problem with G(z) = A z, its estimate, and the true z (N, 2)."""
    law, noise = NormalLaw(["a", "b"]), KernelNoise(PLACES, "exponential", nugget=False)
    gamma = noise.from_natural({"amplitude": 0.5, "length": 0.3})
    rng = np.random.default_rng(seed)
    omega, e = rng.standard_normal((count, 2)), rng.standard_normal((count, 5))
    z = law.sample(torch.from_numpy(ALPHA), torch.from_numpy(omega)).numpy()
    xi = noise.sample(torch.from_numpy(gamma), torch.from_numpy(e)).numpy()
    if conditions is not None and conditions.scale is not None:
        xi = conditions.scale[:, None] * xi
    data = z @ MATRIX.T + xi
    if conditions is not None and conditions.present is not None:
        data = np.where(conditions.present, data, conditions.fill)
    matrix = torch.from_numpy(MATRIX)
    problem = Problem(
        data, lambda z: z @ matrix.T, law, noise, np.full(6, 0.5), seed=3, stage="posterior",
        conditions=conditions,
    )  # fmt: skip
    return problem, (ALPHA, gamma), z


def closed_form(problem: Problem, gamma: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and covariance of the posterior of system n."""
    seen, scale = np.ones(5, dtype=bool), 1.0
    if problem.conditions is not None:
        seen = seen if problem.conditions.present is None else problem.conditions.present[n]
        scale = 1.0 if problem.conditions.scale is None else problem.conditions.scale[n]
    covariance = scale**2 * problem.noise.covariance(torch.from_numpy(gamma)).numpy()
    noise = np.linalg.inv(covariance[np.ix_(seen, seen)])
    a, prior = MATRIX[seen], np.diag(np.exp(-2 * ALPHA[2:]))
    posterior = np.linalg.inv(prior + a.T @ noise @ a)
    mean = posterior @ (prior @ ALPHA[:2] + a.T @ noise @ problem.data[n, seen])
    return mean, posterior


@pytest.mark.parametrize("with_conditions", [False, True])
def test_a_linear_model_has_its_closed_form(with_conditions):
    conditions, count = None, 6
    if with_conditions:
        present = np.ones((count, 5), dtype=bool)
        present[1, 2:4] = present[4, 0] = False
        conditions = Conditions(np.linspace(0.5, 2, count), present, np.zeros(5))
    problem, estimate, _ = linear_problem(count, conditions)
    posteriors = sample_posteriors(problem, estimate, chains=2, warmup=50, draws=1500, thin=2)
    assert posteriors.z.shape == (2, 1500, count, 2)
    for n in range(count):
        mean, covariance = closed_form(problem, estimate[1], n)
        draws = posteriors.z[:, :, n].reshape(-1, 2)
        # 3000 draws worth some 600 independent ones: 4 standard errors.
        error = np.sqrt(np.diag(covariance) / 600)
        assert np.all(np.abs(draws.mean(axis=0) - mean) < 4 * error)
        np.testing.assert_allclose(np.cov(draws.T), covariance, atol=0.25 * covariance.max())
    assert posteriors.r_hat.max() < 1.03


def test_coverage_of_a_linear_model_is_nominal():
    problem, estimate, z = linear_problem(300)
    posteriors = sample_posteriors(problem, estimate, chains=2, warmup=50, draws=150, thin=3)
    dataset = posterior_dataset(posteriors, ["a", "b"], 50, ["1", "1"], z)
    assert dataset["z"].shape == (50, 300, 2)
    omega = np.random.default_rng(0).standard_normal((900, 2))
    population = problem.law.sample(torch.from_numpy(ALPHA), torch.from_numpy(omega)).numpy()
    metrics = coverage_metrics(dataset, population)
    inside = (dataset["lower"].values <= z) & (z <= dataset["upper"].values)
    assert metrics["coverage"] == pytest.approx(inside.mean(), abs=0.005)
    # 600 intervals: 4 binomial deviations.
    for name, level in (("coverage", 0.95), ("coverage_80", 0.8), ("coverage_50", 0.5)):
        assert abs(metrics[name] - level) < 4 * (level * (1 - level) / 600) ** 0.5
    assert min(metrics[f"rank_p_value_{name}"] for name in "ab") > 1e-3
    assert 0 < metrics["narrowing_a"] < 1
    assert metrics["shared"] == "none"
    assert 30 < metrics["effective_min"] <= metrics["effective_01"] < 300
    assert draw_systems(dataset, population, z).axes
    assert draw_calibration(dataset, population).axes
    without = posterior_dataset(posteriors, ["a", "b"], 50, ["1", "1"])
    assert "coverage" not in coverage_metrics(without, population)
    assert draw_systems(without, population, None).axes
    assert draw_calibration(without, population).axes


@pytest.mark.parametrize("wrong", ["narrow", "shifted"])
def test_posteriors_that_are_wrong_are_seen_in_the_ranks(wrong):
    problem, estimate, z = linear_problem(300)
    posteriors = sample_posteriors(problem, estimate, chains=2, warmup=50, draws=100, thin=2)
    centre = posteriors.z.mean(axis=(0, 1))
    spread = posteriors.z.std(axis=(0, 1))
    draws = (
        centre + (posteriors.z - centre) / 2 if wrong == "narrow" else posteriors.z + 0.5 * spread
    )
    dataset = posterior_dataset(replace(posteriors, z=draws), ["a", "b"], 50, ["1", "1"], z)
    metrics = coverage_metrics(dataset, z)
    assert max(metrics[f"rank_p_value_{name}"] for name in "ab") < 1e-3
    assert metrics["coverage"] < 0.93


def test_what_all_systems_share_is_no_part_of_the_coverage():
    problem, estimate, z = linear_problem(40)
    posteriors = sample_posteriors(problem, estimate, chains=2, warmup=20, draws=50, thin=1)
    same = np.full((*posteriors.z.shape[:3], 1), 0.3)
    with_shared = replace(
        posteriors,
        z=np.concatenate([same, posteriors.z], axis=3),
        r_hat=np.column_stack([np.ones(40), posteriors.r_hat]),
        effective=np.column_stack([np.full(40, 100.0), posteriors.effective]),
    )
    truth = np.column_stack([np.full(40, 0.31), z])
    # Rounding is no difference.
    population = np.column_stack([0.3 + 1e-15 * np.arange(40), z])
    np.testing.assert_array_equal(varying(population), [False, True, True])
    dataset = posterior_dataset(with_shared, ["level", "a", "b"], 20, ["1"] * 3, truth)
    metrics = coverage_metrics(dataset, population)
    assert metrics["shared"] == "level"
    assert not any(name.endswith("_level") for name in metrics)
    own = posterior_dataset(posteriors, ["a", "b"], 20, ["1"] * 2, z)
    assert metrics["coverage"] == coverage_metrics(own, z)["coverage"]
    drawn = [ax.get_title(loc="left") for ax in draw_systems(dataset, population, truth).axes]
    assert drawn == ["a", "b"]


def test_without_data_the_posterior_is_the_population():
    rng = np.random.default_rng(0)
    omega, current = rng.standard_normal((4000, 3)), np.zeros(4000)
    for _ in range(5):
        omega, current, calls = elliptical_slice(
            lambda w, rows: np.zeros(len(w)), omega, current, rng
        )
        assert calls == 4000
    np.testing.assert_allclose(omega.mean(axis=0), 0, atol=4 / 4000**0.5)
    np.testing.assert_allclose(np.cov(omega.T), np.eye(3), atol=0.1)


def test_a_system_does_not_depend_on_its_draws_being_repeated():
    problem, estimate, _ = linear_problem(5)
    first = sample_posteriors(problem, estimate, 2, 5, 20, 1)
    again = sample_posteriors(problem, estimate, 2, 5, 20, 1)
    np.testing.assert_array_equal(first.z, again.z)
    assert first.evaluations == again.evaluations


def test_r_hat_sees_chains_apart():
    rng = np.random.default_rng(0)
    same = rng.standard_normal((4, 400, 2))
    assert np.all(split_r_hat(same) < 1.02)
    apart = same + np.arange(4.0)[:, None, None]
    assert np.all(split_r_hat(apart) > 1.3)
    assert np.all(split_r_hat(np.ones((2, 10, 1))) == 1)


def test_effective_sample_sizes_are_those_of_autoregressive_chains():
    rng = np.random.default_rng(1)
    for coefficient in (0.0, 0.5, 0.9):
        noise = rng.standard_normal((4, 1000, 50))
        z = noise.copy()
        for t in range(1, 1000):
            z[:, t] = coefficient * z[:, t - 1] + (1 - coefficient**2) ** 0.5 * noise[:, t]
        expected = 4000 * (1 - coefficient) / (1 + coefficient)
        assert np.mean(effective_sample_size(z)) == pytest.approx(expected, rel=0.1)
    apart = rng.standard_normal((2, 100, 3)) + 5 * np.arange(2.0)[:, None, None]
    assert np.all(effective_sample_size(apart) < 10)
    assert np.all(effective_sample_size(np.ones((2, 10, 1))) == 20)
