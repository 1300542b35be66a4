"""The pull on noise of unrestricted covariance: no bias where data tell, honesty where not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from linear_population import TRUTH, linear_problem
from slopes import slopes
from tiers import parameters

from popinv.inference.density.problem import Problem
from popinv.inference.estimators.fit_marginal import fit_marginal_likelihood
from popinv.inference.estimators.fit_pseudo import fit_pseudo_likelihood
from popinv.inference.integrate.penalty import penalty_at
from popinv.population.constraints import POSITIVE, REAL
from popinv.population.laws.free_form import FreeFormLaw
from popinv.population.noise.terms import Noise, Size, replicated_noise
from popinv.population.noise.unstructured import FullNoise, IsotropicNoise

D_Y = 6


def full_problem(count, seed, shrinkage=0.1):
    """Return lines in noise whose covariance may be any, and the truth."""
    problem = linear_problem(count, seed)
    noise = FullNoise(D_Y, shrinkage)
    factor = problem.noise.cholesky(torch.from_numpy(TRUTH[4:]))
    truth = np.concatenate([TRUTH[:4], noise.from_cholesky(factor).numpy()])
    scale = np.full(len(truth), 0.5)
    return replace(problem, noise=noise, scale=scale), truth


@pytest.mark.parametrize("count", [100, 400])
def test_the_noise_is_penalised_as_by_the_root_of_the_number_of_systems(count):
    problem, truth = full_problem(count, 1)
    found = penalty_at(problem, truth)
    own = float(problem.noise.penalty(torch.from_numpy(truth[4:].copy())))
    assert own > 0
    assert found.value == pytest.approx(np.sqrt(count) * own, rel=1e-12)
    exact = slopes(lambda q: penalty_at(problem, q).value, truth, 1e-5)
    assert found.gradient == pytest.approx(exact, rel=1e-6, abs=1e-6)
    np.testing.assert_array_equal(found.gradient[:4], 0.0)


@pytest.mark.parametrize("errors", ["constant", "combined"])
@pytest.mark.parametrize("replicates", [1, 2])
def test_the_penalty_is_that_of_the_constant_noise_of_one_replicate(errors, replicates):
    problem, truth = full_problem(100, 1)
    expected = penalty_at(problem, truth)
    one = Noise(problem.noise, Size(errors, heavy_tails=True))
    noise = replicated_noise(one, replicates)
    p = np.concatenate([truth, np.zeros(len(noise.names) - len(problem.noise.names))])
    data = np.zeros((100, replicates * D_Y))
    found = penalty_at(replace(problem, data=data, noise=noise, scale=np.full(len(p), 0.5)), p)
    size = len(truth)
    assert found.value == pytest.approx(expected.value, rel=1e-12)
    np.testing.assert_allclose(found.gradient[:size], expected.gradient, rtol=1e-12)
    np.testing.assert_allclose(found.curvature[:size, :size], expected.curvature, rtol=1e-9)
    assert not found.gradient[size:].any()
    assert not found.curvature[size:].any()


def test_the_coefficients_of_a_law_are_penalised_as_standard_normal_numbers():
    law = FreeFormLaw(["a", "b"], [POSITIVE, REAL], 3, 1.0, True)
    size = len(law.names) + 1
    data = np.zeros((7, 2))
    problem = Problem(data, lambda z: z, law, IsotropicNoise(2), np.full(size, 0.5))
    p = np.linspace(-0.5, 1.0, size)
    coefficients = p[4:-1]
    found = penalty_at(problem, p)
    np.testing.assert_array_equal(
        problem.prior.entries, [False] * 4 + [True] * (size - 5) + [False]
    )
    assert found.value == pytest.approx(np.sum(coefficients**2) / 2, rel=1e-12)
    np.testing.assert_allclose(found.gradient, [0, 0, 0, 0, *coefficients, 0], rtol=1e-12)
    np.testing.assert_array_equal(found.curvature, np.diag([0.0] * 4 + [1.0] * (size - 5) + [0.0]))
    held = penalty_at(replace(problem, free_law=False), p)
    assert held.value == 0.0


@pytest.mark.parametrize("count", [400, 6400])
def test_what_the_data_determine_moves_by_a_part_of_its_standard_error(count):
    estimates = []
    for shrinkage in (0.1, 0.0):
        problem, truth = full_problem(count, 1, shrinkage)
        estimates.append(fit_pseudo_likelihood(replace(problem, fixed=(0, 1, 2, 3)), [truth]))
    pulled, free = estimates
    moved = np.abs(pulled.p - free.p)[4:] / free.standard_errors[4:]
    # 0.1 sqrt(N) observations of uncorrelated noise among N pull a correlation by 0.1 of its
    # standard error; on the plane of the lines, where the signal covers the noise, by more.
    assert 1e-3 < moved.max() < 0.5


def likelihood(problem, start):
    return fit_marginal_likelihood(problem, start, rough=True)


@pytest.mark.full
@parameters(
    "fit, data_sets",
    [pytest.param(lambda p, s: fit_pseudo_likelihood(p, [s]), 12, id="pseudo_likelihood")],
    full=[pytest.param(likelihood, 6, id="likelihood")],
)
def test_intervals_hold_where_law_and_noise_trade_variance(fit, data_sets):
    # A sum of two covariances does not tell the two apart on the plane of the lines: three
    # directions are open, and the penalty alone chooses a point of them.
    held = []
    for seed in range(data_sets):
        problem, truth = full_problem(500, seed)
        estimate = fit(problem, truth)
        held.append(np.abs(estimate.p - truth) < 1.96 * estimate.standard_errors)
    assert np.mean(held) > 0.9
    assert np.mean(held, axis=0).min() > 0.5
