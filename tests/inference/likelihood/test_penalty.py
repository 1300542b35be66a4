"""The pull on noise of unrestricted covariance: no bias where data tell, honesty where not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from linear_population import TRUTH, linear_problem

from popinv.inference.likelihood.fit_marginal import fit_marginal_likelihood
from popinv.inference.likelihood.fit_pseudo import fit_pseudo_likelihood
from popinv.population.noise.full.noise import FullNoise

D_Y = 6


def full_problem(count, seed, shrinkage=0.1):
    """Return lines in noise whose covariance may be any, and the truth."""
    problem = linear_problem(count, seed)
    noise = FullNoise(D_Y, shrinkage)
    factor = problem.noise.cholesky(torch.from_numpy(TRUTH[4:]))
    truth = np.concatenate([TRUTH[:4], noise.from_cholesky(factor).numpy()])
    scale = np.full(len(truth), 0.5)
    return replace(problem, noise=noise, scale=scale), truth


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


@pytest.mark.parametrize(
    ("fit", "data_sets"),
    [
        pytest.param(lambda p, s: fit_pseudo_likelihood(p, [s]), 20, id="pseudo_likelihood"),
        pytest.param(likelihood, 6, id="likelihood", marks=pytest.mark.slow),
    ],
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
