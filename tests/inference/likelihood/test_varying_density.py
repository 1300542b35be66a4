"""The information of noise that varies with the signal."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from popinv.inference.density.conditions import Conditions
from popinv.inference.density.problem import Problem
from popinv.inference.density.varying_density import varying_density
from popinv.population.laws.gaussian import normal_law
from popinv.population.noise.kernel import KernelNoise
from popinv.population.noise.terms import Noise, Size
from popinv.population.noise.unstructured import DiagonalNoise


@pytest.mark.parametrize("grows", ["combined", "proportional"])
def test_the_information_is_the_mean_square_of_the_slope(grows):
    # The nodes of a quadrature are the noise of as many systems with one signal.
    nodes, weights = np.polynomial.hermite_e.hermegauss(6)
    noise = Noise(DiagonalNoise(2), Size(grows))
    gamma = torch.from_numpy(noise.from_natural(dict.fromkeys(noise.names, 0.4)))
    g = torch.tensor([[1.5, 0.7]], dtype=torch.float64).expand(6, -1)
    deviations = noise.deviations(gamma, g, None)
    data = (g + deviations * torch.from_numpy(nodes)[:, None]).numpy()
    scale = np.full(2 + len(noise.names), 0.5)
    at = varying_density(Problem(data, torch.sin, normal_law(["rate"]), noise, scale), gamma)
    mean_square = weights / weights.sum() @ at.with_slope(g)[1].numpy() ** 2
    information = at.matrix(g).numpy()
    np.testing.assert_allclose(information[0], np.diag(mean_square), rtol=1e-9, atol=1e-12)


def student(places, data, present=None):
    """Return the density of noise with heavy tails and an exponential kernel, and the noise."""
    noise = Noise(
        KernelNoise(places[:, None], "exponential", False), Size("constant", heavy_tails=True)
    )
    gaps = {} if present is None else {"present": present, "fill": np.zeros(data.shape[1])}
    conditions = Conditions.stated(data.shape, **gaps)
    law, scale = normal_law(["rate"]), np.full(2 + len(noise.names), 0.5)
    problem = Problem(data, torch.sin, law, noise, scale, conditions=conditions)
    gamma = torch.from_numpy(noise.from_natural(GAMMA))
    return varying_density(problem, gamma), noise, gamma


GAMMA = {"amplitude": 0.4, "length": 0.5, "degrees_of_freedom": 3.5}
PLACES = np.array([0.0, 0.1, 0.35, 0.6, 1.0])


@pytest.mark.parametrize("gaps", [False, True])
def test_the_order_of_the_sensors_changes_nothing(gaps):
    rng, order = np.random.default_rng(3), np.array([3, 0, 4, 1, 2])
    data = rng.standard_normal((30, 5))
    data[:, 2] += 2.0
    present = rng.random(data.shape) < 0.8 if gaps else np.ones(data.shape, dtype=bool)
    g = torch.zeros(data.shape, dtype=torch.float64)
    one = student(PLACES, data, present)[0].log_density(g)
    other = student(PLACES[order], data[:, order], present[:, order])[0].log_density(g)
    torch.testing.assert_close(one, other, rtol=0.0, atol=1e-10)


def test_draws_with_heavy_tails_have_their_density():
    """E[p(xi - c) / p(xi)] = 1 for any shift c, over draws xi with the density p."""
    count = 40_000
    e = torch.from_numpy(np.random.default_rng(1).standard_normal((count, 5)))
    _, noise, gamma = student(PLACES, np.zeros((1, 5)))
    draws = noise.sample_given(gamma, e, torch.zeros_like(e))
    density = student(PLACES, draws.numpy())[0]
    shift = torch.tensor([0.1, -0.2, 0.0, 0.1, 0.05], dtype=torch.float64).expand(count, -1)
    ratio = torch.exp(density.log_density(shift) - density.log_density(torch.zeros_like(shift)))
    error = float(ratio.std()) / count**0.5
    assert abs(float(ratio.mean()) - 1) < 4 * error < 0.1
