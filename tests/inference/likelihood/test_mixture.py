"""The marginal likelihood of a mixture, a sum over its components."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from bent_population import by_sum
from slopes import slopes

from popinv.inference.density.conditions import Conditions
from popinv.inference.density.problem import Problem
from popinv.inference.estimators.fit_marginal import fit_marginal_likelihood
from popinv.inference.integrate.marginal import MarginalSettings
from popinv.inference.integrate.marginal_near import likelihood_near
from popinv.population.constraints import POSITIVE, REAL
from popinv.population.known import Known
from popinv.population.laws.mixture import MixtureLaw
from popinv.population.noise.unstructured import IsotropicNoise

TRANSFORMS = [REAL, POSITIVE]
LAW = MixtureLaw(["a", "b"], TRANSFORMS, 2)
# Weight of the first, means with an increment of a, and deviations.
ALPHA = LAW.from_natural([0.6, -1.0, 0.2, 2.0, 0.8, 0.5, 0.3, 0.4, 0.2])
NOISE = 0.1
TRUTH = np.append(ALPHA, np.log(NOISE))
START = TRUTH + 0.3 * np.sign(np.random.default_rng(0).standard_normal(len(TRUTH)))
# A mixture that depends on covariates, with coefficients of a on the first and of b on both.
EFFECTS = [("a", "age"), ("b", "age"), ("b", "sex")]
SHIFTED = MixtureLaw(["a", "b"], TRANSFORMS, 2, covariates=["age", "sex"], effects=EFFECTS)
COEFFICIENTS = [0.4, 0.2, -0.3]
MATRIX = torch.tensor([[1.0, 0.5], [0.2, 1.0], [1.0, -1.0]], dtype=torch.float64)


def linear(z: torch.Tensor) -> torch.Tensor:
    return z @ MATRIX.T


def mixture_problem(
    count: int, noise: float = NOISE, seed: int = 5
) -> tuple[Problem, torch.Tensor]:
    """Return a population of two kinds of systems seen through three noisy sums, and its z."""
    rng = np.random.default_rng(seed)
    omega = torch.from_numpy(rng.standard_normal((count, 2)))
    z = LAW.sample(torch.from_numpy(ALPHA), omega)
    data = linear(z).numpy() + noise * rng.standard_normal((count, 3))
    scale = np.full(len(TRUTH), 0.5)
    return Problem(data, linear, LAW, IsotropicNoise(3), scale, seed=1), z


def with_covariates(count: int) -> tuple[Problem, np.ndarray]:
    """Return a population whose means depend on covariates, and its truth."""
    rng = np.random.default_rng(3)
    known = np.column_stack([rng.standard_normal(count), rng.integers(0, 2, count)])
    shifts = known @ np.array([COEFFICIENTS[:2], [0.0, COEFFICIENTS[2]]])
    problem, z = mixture_problem(count)
    # The first law, and its parameters moved on their transformed scale.
    z = LAW.bounded(LAW.unbounded(z) + torch.from_numpy(shifts))
    data = linear(z).numpy() + NOISE * rng.standard_normal((count, 3))
    p = np.concatenate([ALPHA, COEFFICIENTS, TRUTH[-1:]])
    conditions = Conditions.stated(data.shape, known=Known.of_arrays(np.empty((count, 0)), known))
    scale = np.full(len(p), 0.5)
    own = Problem(data, linear, SHIFTED, problem.noise, scale, seed=1, conditions=conditions)
    return own, p


def by_quadrature(problem: Problem, p: np.ndarray) -> np.ndarray:
    """Return log p(y_n) on a grid of a and log b (the trapezoidal rule, smooth and decaying)."""
    a, log_b = np.linspace(-4, 4, 321), np.linspace(-2.5, 2.5, 321)
    x = np.stack(np.meshgrid(a, log_b, indexing="ij"), axis=-1).reshape(-1, 2)
    z = LAW.bounded(torch.from_numpy(x))
    cell = (a[1] - a[0]) * (log_b[1] - log_b[0])
    prior = LAW.log_density(torch.from_numpy(p[:-1]), z).numpy() + x[:, 1] + np.log(cell)
    return by_sum(problem.data, linear(z).numpy(), prior, np.exp(p[-1]))


def test_values_and_scores_are_those_of_quadrature():
    problem, _ = mixture_problem(12)
    p = TRUTH + 0.1
    evaluation = likelihood_near(problem, p, MarginalSettings(draws=1024)).here
    # 1024 draws, most of them effective, and scores of a few units.
    np.testing.assert_allclose(evaluation.log_likelihood, by_quadrature(problem, p), atol=0.03)
    exact = slopes(lambda q: by_quadrature(problem, q), p, 1e-3)
    np.testing.assert_allclose(evaluation.scores, exact, atol=0.1)


def test_covariates_shift_all_components():
    problem, p = with_covariates(6)
    at = p + 0.1

    def exact(q: np.ndarray) -> np.ndarray:
        """Return log p(y_n), each with the means of the first law moved by its covariates."""
        found = []
        for n, (age, sex) in enumerate(problem.known.covariates.numpy()):
            in_a, in_b = q[9] * age, q[10] * age + q[11] * sex
            own = np.append(q[:9], q[-1])
            # The means of a (the second as an increment) and of b, component by component.
            own[1] += in_a
            own[[2, 4]] += in_b
            found.append(by_quadrature(replace(problem, data=problem.data[[n]]), own))
        return np.concatenate(found)

    evaluation = likelihood_near(problem, at, MarginalSettings(draws=1024)).here
    np.testing.assert_allclose(evaluation.log_likelihood, exact(at), atol=0.03)
    np.testing.assert_allclose(evaluation.scores, slopes(exact, at, 1e-3), atol=0.1)


def test_draws_reach_the_other_component():
    # Systems whose noise is as large as a component may belong to either.
    problem, _ = mixture_problem(200, noise=0.5)
    p = np.append(ALPHA, np.log(0.5))
    evaluation = likelihood_near(problem, p, MarginalSettings()).here
    gap = evaluation.log_likelihood - by_quadrature(problem, p)
    # The error of the sum is that of 200 systems. Draws about the modes alone lose 12.
    assert abs(gap.sum()) < 4 * np.sqrt((evaluation.value_error**2).sum())
    assert abs(gap.sum()) < 5


def test_modes_follow_the_law():
    problem, _ = mixture_problem(100)
    settings = MarginalSettings()
    near = likelihood_near(problem, START, settings)
    fresh = likelihood_near(problem, TRUTH, settings).here.log_likelihood
    # The memory of an evaluation elsewhere starts the search for each component's mode.
    for moved in (
        near(TRUTH, near.here.memory),
        likelihood_near(problem, TRUTH, settings, memory=near.here.memory).here,
    ):
        np.testing.assert_allclose(moved.log_likelihood, fresh, atol=0.3)
    np.testing.assert_allclose(fresh, by_quadrature(problem, TRUTH), atol=0.1)


def test_what_single_systems_of_a_mixture_say_does_not_depend_on_the_others():
    problem, _ = mixture_problem(30, noise=0.5)
    near = likelihood_near(problem, TRUTH, MarginalSettings())
    some = np.array([3, 17, 29])
    memory = {name: each[some] for name, each in near.here.memory.items()}
    alone, whole = near(TRUTH, memory, some), near(TRUTH, near.here.memory)
    np.testing.assert_allclose(alone.log_likelihood, whole.log_likelihood[some], rtol=1e-10)
    np.testing.assert_allclose(alone.scores, whole.scores[some], rtol=1e-8, atol=1e-10)


@pytest.mark.full
def test_two_kinds_of_systems_are_told_apart():
    problem, z = mixture_problem(500)
    estimate = fit_marginal_likelihood(problem, START)
    assert estimate.passes, estimate.reason
    errors = np.sqrt(np.diag(estimate.covariance))
    assert np.abs((estimate.p - TRUTH) / errors).max() < 3.5
    # With little noise the estimate is close to that of EM on the true parameters.
    known = LAW.most_likely(z.numpy(), ALPHA)
    assert np.abs((estimate.p[:-1] - known) / errors[:-1]).max() < 0.5
