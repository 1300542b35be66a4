"""Every correlated family is found from pure noise."""

from __future__ import annotations

import numpy as np
import torch
from problems import silent
from tiers import parameters, thinned

from popinv.inference.density.problem import Problem, begin
from popinv.inference.estimators.descent import run
from popinv.inference.estimators.settings import DescentSettings
from popinv.population.laws.gaussian import normal_law
from popinv.population.noise.kernel import KernelNoise
from popinv.population.noise.time_series import AutoregressiveNoise, BlockNoise
from popinv.population.noise.unstructured import FullNoise

PLACES = np.array([[0.2], [0.5]])
FAMILIES = {
    "first order": (
        AutoregressiveNoise(2, 4, order=1),
        {"standard_deviation": 0.5, "correlation": -0.5},
    ),
    "third order": (
        AutoregressiveNoise(2, 4, order=3),
        {"standard_deviation": 0.5, "correlation": [0.6, -0.3, 0.2]},
    ),
    "kernel blocks": (
        BlockNoise(KernelNoise(PLACES, "exponential", nugget=False), 4, order=1),
        {"standard_deviation": 0.5, "length": 0.4, "time_correlation": 0.4},
    ),
    "full blocks": (
        BlockNoise(FullNoise(2, shrinkage=0.0), 4, order=1),
        {"standard_deviation": [0.5, 2], "place_correlation": -0.4, "time_correlation": 0.4},
    ),
}


@parameters("name", *thinned(FAMILIES, 2))
def test_it_is_found_from_afar(name):
    noise, values = FAMILIES[name]
    truth = noise.from_natural(values)
    e = torch.from_numpy(np.random.default_rng(0).standard_normal((2000, 8)))
    data = noise.sample(torch.from_numpy(truth), e).numpy()
    scale = np.concatenate([np.full(2, 0.5), noise.scale])
    problem = Problem(data, silent(8), normal_law(["a"]), noise, scale, free_law=False)
    settings = DescentSettings(iterations=60, model_samples=1000, directions=24)
    start = np.where(noise.correlations, 0.0, truth + np.log(3.0))
    descent = run(begin(np.zeros(2), start, settings), problem, settings, progress=False)
    # Standard errors at N = 2000 from the information of the Gaussian, as in Slepian and Bangs,
    # and as much again for the sliced distance, which is not the likelihood; four of them.
    gamma = torch.from_numpy(truth)
    slopes = torch.autograd.functional.jacobian(noise.covariance, gamma).permute(2, 0, 1)
    whitened = torch.linalg.solve(noise.covariance(gamma), slopes)
    information = 1000 * torch.einsum("iab,jba->ij", whitened, whitened)
    errors = torch.sqrt(torch.diagonal(torch.linalg.inv(information))).numpy()
    assert np.all(np.abs(descent.gamma - truth) < 4 * 1.4 * errors)
