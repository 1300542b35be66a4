"""The information of noise that varies with the signal."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from popinv.inference.likelihood.varying_density import varying_density
from popinv.inference.problem import Problem
from popinv.population.laws.gaussian import normal_law
from popinv.population.noise.unstructured import DiagonalNoise
from popinv.population.noise.varying import VaryingNoise


@pytest.mark.parametrize("grows", ["combined", "proportional"])
def test_the_information_is_the_mean_square_of_the_slope(grows):
    # The nodes of a quadrature are the noise of as many systems with one signal.
    nodes, weights = np.polynomial.hermite_e.hermegauss(6)
    noise = VaryingNoise(DiagonalNoise(2), grows)
    gamma = torch.from_numpy(noise.from_natural(dict.fromkeys(noise.names, 0.4)))
    g = torch.tensor([[1.5, 0.7]], dtype=torch.float64).expand(6, -1)
    deviations = noise.deviations(gamma, g, None)
    data = (g + deviations * torch.from_numpy(nodes)[:, None]).numpy()
    scale = np.full(2 + len(noise.names), 0.5)
    at = varying_density(Problem(data, torch.sin, normal_law(["rate"]), noise, scale), gamma)
    mean_square = weights / weights.sum() @ at.with_slope(g)[1].numpy() ** 2
    information = at.matrix(g).numpy()
    np.testing.assert_allclose(information[0], np.diag(mean_square), rtol=1e-9, atol=1e-12)
