"""Intervals of the noise in natural values."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from popinv.inference.resampling import noise_interval, normal_interval
from popinv.population.noise.autoregressive import AutoregressiveNoise
from popinv.population.noise.full import FullNoise


def test_elementwise_families_have_the_interval_of_gamma():
    noise = AutoregressiveNoise(2, 4)
    gamma = np.array([-1.0, 0.8])
    answers = gamma + 0.1 * np.random.default_rng(0).standard_normal((30, 2))
    ends = zip(noise_interval(noise, gamma, answers), normal_interval(gamma, answers), strict=True)
    for found, unconstrained in ends:
        np.testing.assert_allclose(found, noise.to_natural(unconstrained), rtol=1e-10)


def test_correlations_of_unrestricted_noise_have_fishers_interval():
    truth = np.array([[1.0, 0.6, 0.0], [0.6, 1.0, 0.3], [0.0, 0.3, 1.0]])
    noise, count = FullNoise(3), 400
    root, rng = np.linalg.cholesky(truth), np.random.default_rng(0)
    answers = []
    for _ in range(300):
        sample = rng.standard_normal((count, 3)) @ root.T
        factor = np.linalg.cholesky(sample.T @ sample / count)
        answers.append(noise.from_cholesky(torch.from_numpy(factor)).numpy())
    centre = noise.from_cholesky(torch.from_numpy(root)).numpy()
    low, high = noise_interval(noise, centre, np.array(answers))
    # Fisher's z has standard deviation 1 / sqrt(N); that of 300 answers is known to 4 %.
    half = 1.968 / np.sqrt(count)
    np.testing.assert_allclose(np.arctanh(high[3:]) - np.arctanh(low[3:]), 2 * half, rtol=0.15)
    assert np.all(np.abs(low[3:]) < 1)
    # That of a logarithm of a standard deviation is 1 / sqrt(2 N).
    assert np.log(high[:3] / low[:3]) == pytest.approx(2 * half / np.sqrt(2), rel=0.15)
