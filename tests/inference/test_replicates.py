"""Systems with replicates, against the closed form of the one-way model with random effects."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.stats import multivariate_normal

from popinv.forward.base import Observations
from popinv.forward.datasets import observation_names, replicates_of
from popinv.inference.density.conditions import fitted_observations
from popinv.inference.density.problem import Problem, replicated_simulator
from popinv.inference.estimators.fit_distance import fit_distance
from popinv.inference.estimators.fit_marginal import fit_marginal_likelihood
from popinv.inference.estimators.fit_pseudo import fit_pseudo_likelihood
from popinv.inference.estimators.settings import DescentSettings
from popinv.inference.integrate.marginal import MarginalSettings, evaluate
from popinv.population.laws.gaussian import normal_law
from popinv.population.noise.kernel import KernelNoise
from popinv.population.noise.terms import replicated_noise
from popinv.population.noise.unstructured import IsotropicNoise
from popinv.population.observe import observations_dataset

TRUTH = {"mean": 10.0, "between": 3.0, "within": 1.5}


def unbalanced(count: int, most: int = 4) -> np.ndarray:
    """Return a one-way layout (count, most), NaN behind the last replicate of each system."""
    rng = np.random.default_rng(3)
    effects = TRUTH["mean"] + TRUTH["between"] * rng.standard_normal((count, 1))
    y = effects + TRUTH["within"] * rng.standard_normal((count, most))
    numbers = 1 + np.arange(count) % most
    return np.where(np.arange(most) < numbers[:, None], y, np.nan)


def one_way_log_likelihoods(y: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Return log N(y_n; m 1, b^2 11^T + w^2 I) of each system, by SciPy."""
    mean, between, within = p[0], np.exp(p[1]), np.exp(p[2])
    values = []
    for row in y:
        seen = row[np.isfinite(row)]
        covariance = between**2 * np.ones((len(seen),) * 2) + within**2 * np.eye(len(seen))
        values.append(multivariate_normal.logpdf(seen, np.full(len(seen), mean), covariance))
    return np.array(values)


def maximum(y: np.ndarray) -> np.ndarray:
    """Return the maximum of the likelihood (mean, log between, log within), by SciPy."""
    found = minimize(
        lambda p: -one_way_log_likelihoods(y, p).sum(),
        [np.nanmean(y), 0.0, 0.0],
        method="Nelder-Mead",
        options={"xatol": 1e-7, "fatol": 1e-9, "maxiter": 4000},
    )
    return found.x


def problem_of(y: np.ndarray) -> Problem:
    described = Observations(np.zeros((1, 1)), ("entry",), "y")
    dataset = observations_dataset(y, described, heldout=0, replicate_count=y.shape[1])
    data, conditions = fitted_observations(dataset)
    count = replicates_of(dataset)
    return Problem(
        data,
        replicated_simulator(lambda z: z[:, :1], count),
        normal_law(["effect"]),
        replicated_noise(IsotropicNoise(1), count),
        np.array([1.0, 0.5, 0.5]),
        conditions=conditions,
    )


def test_likelihood_of_an_unbalanced_one_way_layout_is_the_closed_form() -> None:
    y = unbalanced(40)
    p = np.array([9.0, 0.7, 0.6])
    values = evaluate(problem_of(y), p, MarginalSettings(draws=64)).log_likelihood
    np.testing.assert_allclose(values, one_way_log_likelihoods(y, p), rtol=1e-6)


def test_both_likelihoods_are_at_the_maximum_of_the_closed_form() -> None:
    y = unbalanced(60)
    problem, best = problem_of(y), maximum(y)
    start = np.array([8.0, 0.5, 0.0])
    pseudo = fit_pseudo_likelihood(problem, [start])
    likelihood = fit_marginal_likelihood(problem, start, MarginalSettings(draws=32))
    for estimate in (pseudo, likelihood):
        assert np.all(np.abs(estimate.p - best) < 0.03 * estimate.standard_errors)


@pytest.mark.full
def test_the_distance_finds_the_law_and_the_noise() -> None:
    truth = np.array([TRUTH["mean"], np.log(TRUTH["between"]), np.log(TRUTH["within"])])
    settings = DescentSettings(iterations=150, restarts=1)
    fit = fit_distance(problem_of(unbalanced(1000)), settings, [truth + np.array([0.5, 0.3, -0.3])])
    assert np.all(np.abs(fit.estimate.p - truth) < 4 * fit.estimate.standard_errors)


def test_one_replicate_changes_nothing() -> None:
    assert replicated_simulator(torch.sin, 1) is torch.sin


@pytest.mark.parametrize("count", [2, 3])
def test_noise_is_independent_between_replicates(count: int) -> None:
    single = KernelNoise(np.linspace(0, 1, 4)[:, None], "exponential", nugget=False)
    noise = replicated_noise(single, count)
    values = {"amplitude": 0.7, "length": 0.4}
    gamma = torch.from_numpy(noise.from_natural(values))
    assert noise.names == single.names
    expected = np.kron(np.eye(count), single.covariance(gamma).numpy())
    np.testing.assert_allclose(noise.covariance(gamma), expected)
    factor = noise.cholesky(gamma).numpy()
    np.testing.assert_allclose(factor @ factor.T, expected)
    e = torch.from_numpy(np.random.default_rng(0).standard_normal((5, 4 * count)))
    np.testing.assert_allclose(noise.sample(gamma, e), e.numpy() @ factor.T, atol=1e-12)
    np.testing.assert_allclose(noise.whiten(gamma, noise.sample(gamma, e)), e, atol=1e-9)
    np.testing.assert_allclose(list(values.values()), noise.to_natural(gamma.numpy()))


def test_a_simulator_is_asked_once_for_all_replicates() -> None:
    asked = []

    class Simulator:
        differentiable = True

        def __call__(self, z: torch.Tensor) -> torch.Tensor:
            asked.append(len(z))
            return z**2

        def linearise(self, z: torch.Tensor, tangents: torch.Tensor) -> tuple:
            return z**2, 2 * z * tangents

    z = torch.tensor([[1.0, 2.0], [3.0, 4.0]], dtype=torch.float64)
    simulate = replicated_simulator(Simulator(), 2)
    assert simulate(z).tolist() == [[1, 4, 1, 4], [9, 16, 9, 16]]
    assert asked == [2]
    y, change = simulate.linearise(z, torch.ones(1, 2, 2, dtype=torch.float64))
    assert y.tolist() == simulate(z).tolist()
    assert change.tolist() == [[[2, 4, 2, 4], [6, 8, 6, 8]]]


def test_a_problem_through_another_simulator_answers_all_replicates() -> None:
    problem = problem_of(unbalanced(12))
    z = torch.tensor([[2.0]], dtype=torch.float64)
    assert problem.through(lambda z: 10 * z).simulate(z).tolist() == [[20.0] * 4]
    assert problem.replicated(np.array([[7.0]])).tolist() == [[7.0] * 4]


def test_observations_are_named_with_their_replicate() -> None:
    described = Observations(np.array([[0.0], [1.0]]), ("t",), "y")
    dataset = observations_dataset(np.ones((5, 4)), described, heldout=1, replicate_count=2)
    assert observation_names(dataset) == [
        "observation 1 of replicate 1",
        "observation 2 of replicate 1",
        "observation 1 of replicate 2",
        "observation 2 of replicate 2",
    ]
    assert dataset["observation_t"].values.tolist() == [0, 1, 0, 1]
