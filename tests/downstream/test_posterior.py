"""Posteriors of a linear model against the closed form, and their coverage."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from popinv.downstream.posterior import (
    coverage_metrics,
    elliptical_slice,
    posterior_dataset,
    sample_posteriors,
    split_r_hat,
)
from popinv.figures.posterior import draw_systems
from popinv.inference.problem import Problem
from popinv.inference.traits import Traits
from popinv.population.laws.normal import NormalLaw
from popinv.population.noise.kernel import KernelNoise

PLACES = np.linspace(0.1, 0.9, 5)[:, None]
MATRIX = np.array([[1.0, 0.2], [0.5, 1.0], [-0.3, 0.8], [0.1, -1.0], [0.7, 0.0]])
ALPHA = np.array([1.0, -0.5, np.log(0.6), np.log(0.4)])


def linear_problem(count: int = 40, traits: Traits | None = None, seed: int = 0):
    """Return a problem with G(z) = A z, its estimate, and the true z (N, 2)."""
    law, noise = NormalLaw(["a", "b"]), KernelNoise(PLACES, "exponential")
    gamma = noise.from_natural({"amplitude": 0.5, "length": 0.3})
    rng = np.random.default_rng(seed)
    omega, e = rng.standard_normal((count, 2)), rng.standard_normal((count, 5))
    z = law.sample(torch.from_numpy(ALPHA), torch.from_numpy(omega)).numpy()
    xi = noise.sample(torch.from_numpy(gamma), torch.from_numpy(e)).numpy()
    if traits is not None and traits.scale is not None:
        xi = traits.scale[:, None] * xi
    data = z @ MATRIX.T + xi
    if traits is not None and traits.present is not None:
        data = np.where(traits.present, data, traits.fill)
    matrix = torch.from_numpy(MATRIX)
    problem = Problem(
        data, lambda z: z @ matrix.T, law, noise, np.full(6, 0.5), seed=3, stage="posterior",
        traits=traits,
    )  # fmt: skip
    return problem, (ALPHA, gamma), z


def closed_form(problem: Problem, gamma: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and covariance of the posterior of system n."""
    seen, scale = np.ones(5, dtype=bool), 1.0
    if problem.traits is not None:
        seen = seen if problem.traits.present is None else problem.traits.present[n]
        scale = 1.0 if problem.traits.scale is None else problem.traits.scale[n]
    covariance = scale**2 * problem.noise.covariance(torch.from_numpy(gamma)).numpy()
    noise = np.linalg.inv(covariance[np.ix_(seen, seen)])
    a, prior = MATRIX[seen], np.diag(np.exp(-2 * ALPHA[2:]))
    posterior = np.linalg.inv(prior + a.T @ noise @ a)
    mean = posterior @ (prior @ ALPHA[:2] + a.T @ noise @ problem.data[n, seen])
    return mean, posterior


@pytest.mark.parametrize("with_traits", [False, True])
def test_a_linear_model_has_its_closed_form(with_traits):
    traits, count = None, 6
    if with_traits:
        present = np.ones((count, 5), dtype=bool)
        present[1, 2:4] = present[4, 0] = False
        traits = Traits(np.linspace(0.5, 2, count), present, np.zeros(5))
    problem, estimate, _ = linear_problem(count, traits)
    found = sample_posteriors(problem, estimate, chains=2, warmup=50, draws=1500, thin=2)
    assert found.z.shape == (2, 1500, count, 2)
    for n in range(count):
        mean, covariance = closed_form(problem, estimate[1], n)
        draws = found.z[:, :, n].reshape(-1, 2)
        # 3000 draws worth some 600 independent ones: 4 standard errors.
        error = np.sqrt(np.diag(covariance) / 600)
        assert np.all(np.abs(draws.mean(axis=0) - mean) < 4 * error)
        np.testing.assert_allclose(np.cov(draws.T), covariance, atol=0.25 * covariance.max())
    assert found.r_hat.max() < 1.03


def test_coverage_of_a_linear_model_is_nominal():
    problem, estimate, z = linear_problem(300)
    found = sample_posteriors(problem, estimate, chains=2, warmup=50, draws=150, thin=3)
    dataset = posterior_dataset(found, ["a", "b"], 50, ["1", "1"])
    assert dataset["z"].shape == (50, 300, 2)
    population = problem.law.sample(
        torch.from_numpy(ALPHA),
        torch.from_numpy(np.random.default_rng(0).standard_normal((900, 2))),
    ).numpy()
    metrics = coverage_metrics(dataset, population, z)
    # 600 intervals of 95 %: binomial deviation 0.9 %.
    assert 0.91 < metrics["coverage"] < 0.985
    assert 0 < metrics["narrowing_a"] < 1
    assert draw_systems(dataset, population, z).axes
    assert "coverage" not in coverage_metrics(dataset, population, None)
    assert draw_systems(dataset, population, None).axes


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
