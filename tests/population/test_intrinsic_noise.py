"""Intrinsic variation and measurement noise about the mean of a random simulator."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from popinv.population.noise.intrinsic import Factor
from popinv.population.noise.terms import composed, replicated_noise
from popinv.population.noise.unstructured import DiagonalNoise

WIDTHS = (1, 3, 10, 14)


def drawn(*shape: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(len(shape)).standard_normal(shape))


@pytest.mark.parametrize("d", WIDTHS)
def test_entries_and_matrix_of_a_factor_agree(d):
    factor = Factor(d)
    entries = drawn(5, factor.size)
    matrix = factor.matrix(entries)
    assert matrix.shape == (5, d, factor.columns)
    assert torch.equal(factor.entries(matrix), entries)
    assert int((matrix != 0).sum()) == 5 * factor.size
    assert torch.equal(matrix.diagonal(dim1=1, dim2=2)[:, :d], entries[:, :d])
    torch.testing.assert_close(factor.covariance(entries), matrix @ matrix.mT)


def test_few_observations_have_any_covariance_and_many_have_four_directions():
    assert Factor(10).size == 55
    many = Factor(14)
    rest = many.covariance(drawn(1, many.size))[0]
    rest = rest - torch.diag(drawn(1, many.size)[0, :14] ** 2)
    assert int((torch.linalg.eigvalsh(rest).abs() > 1e-10).sum()) == 4


@pytest.mark.parametrize("d", WIDTHS)
@pytest.mark.parametrize("count", [1, 2])
def test_a_sample_has_the_covariance_of_variation_and_noise(d, count):
    noise = replicated_noise(composed(DiagonalNoise(d)).with_terms(intrinsic=True), count)
    gamma, width = 0.3 * drawn(d), d + noise.of_one.factor.size
    signal = drawn(1, count * width)
    each = signal.reshape(count, width)
    own = torch.diag(torch.exp(2 * gamma))
    wanted = torch.block_diag(
        *[noise.factor.covariance(row[d:]) + own for row in each],
    )
    eye = torch.eye(count * d, dtype=torch.float64)
    root = noise.sample_given(gamma, eye, signal.expand(count * d, -1))
    torch.testing.assert_close(root.T @ root, wanted)
    torch.testing.assert_close(noise.mean_covariance(gamma, signal), wanted)
    loadings = noise.loadings(signal)[:, 0]
    intrinsic = wanted - torch.block_diag(*[own] * count)
    torch.testing.assert_close(loadings.T @ loadings, intrinsic)
    torch.testing.assert_close(noise.intrinsic_variance(signal)[0], intrinsic.diagonal())
    assert torch.equal(noise.mean(signal)[0], each[:, :d].reshape(-1))
    torch.testing.assert_close(noise.covariance(gamma), torch.block_diag(*[own] * count))


def test_a_run_is_its_own_mean_without_variation():
    noise = composed(DiagonalNoise(3)).with_terms(intrinsic=True)
    y = drawn(4, 3)
    signal = noise.of_run(y)
    assert torch.equal(noise.mean(signal), y)
    assert not noise.variation(signal).any()


def test_the_parameters_are_those_of_the_measurement_noise():
    noise = replicated_noise(composed(DiagonalNoise(3)).with_terms(intrinsic=True), 2)
    assert noise.names == DiagonalNoise(3).names
    assert noise.d_y == 6
    assert noise.of_one.d_y == 3
    assert noise.measured.of_one.names == noise.names
    assert noise.family.d_y == 3
