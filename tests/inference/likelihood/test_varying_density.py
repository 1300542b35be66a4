"""Densities of observations of which each system has few of all entries."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from popinv.inference.conditions import Conditions
from popinv.inference.likelihood.varying_density import varying_density
from popinv.inference.problem import Problem
from popinv.population.laws.normal.law import NormalLaw
from popinv.population.limits import Limits
from popinv.population.noise.autoregressive.noise import AutoregressiveNoise
from popinv.population.noise.diagonal.noise import DiagonalNoise
from popinv.population.noise.isotropic.noise import IsotropicNoise
from popinv.population.noise.varying import VaryingNoise

COUNT, ENTRIES, DRAWS = 7, 12, 5
NOISES = {
    "combined": VaryingNoise(IsotropicNoise(ENTRIES), "combined"),
    "deviations of their own": VaryingNoise(DiagonalNoise(ENTRIES), "combined"),
    "series with heavy tails": VaryingNoise(
        AutoregressiveNoise(1, ENTRIES, 1), "combined", heavy_tails=True
    ),
    "censored": VaryingNoise(DiagonalNoise(ENTRIES), "proportional"),
    "series that is censored": VaryingNoise(AutoregressiveNoise(1, ENTRIES, 1), "combined"),
}
ENDS = {"lower": 1.0, "least": 0.2, "upper": 2.5}


def problem_of(name: str) -> Problem:
    rng = np.random.default_rng(4)
    data = rng.uniform(0.5, 3.0, (COUNT, ENTRIES))
    if "censored" in name:
        data = np.clip(data, ENDS["lower"], ENDS["upper"])
    present = np.zeros((COUNT, ENTRIES), dtype=bool)
    for row in present:
        # Systems have two to five observations.
        row[rng.choice(ENTRIES, rng.integers(2, 6), replace=False)] = True
    conditions = Conditions(
        scale=rng.uniform(0.5, 2.0, COUNT),
        present=present,
        fill=np.zeros(ENTRIES),
        limits=Limits.of_arrays(data.shape, **ENDS) if "censored" in name else None,
    )
    noise = NOISES[name]
    scale = np.full(2 + len(noise.names), 0.5)
    law = NormalLaw(["rate"])
    return Problem(data, lambda z: z, law, noise, scale, seed=1, conditions=conditions)


@pytest.mark.parametrize("name", NOISES)
def test_the_observed_entries_alone_have_the_same_density(name):
    problem = problem_of(name)
    rng = np.random.default_rng(5)
    gamma = torch.from_numpy(rng.normal(size=len(problem.noise.names)))
    narrow = varying_density(problem, gamma)
    assert narrow.narrow is not None
    assert narrow.narrow.low.shape == (COUNT, 5)
    every = replace(narrow, narrow=None)
    g = torch.from_numpy(rng.uniform(0.2, 3.0, (COUNT, DRAWS, ENTRIES)))
    torch.testing.assert_close(narrow.log_density(g), every.log_density(g))
    # The slope is zero in the entries that were not observed.
    torch.testing.assert_close(narrow.with_slope(g)[1], every.with_slope(g)[1])
    some = torch.tensor([4, 0, 4])
    torch.testing.assert_close(narrow.rows(some).log_density(g[some]), every.log_density(g)[some])
    # One signal for each system, without draws.
    torch.testing.assert_close(narrow.log_density(g[:, 0]), every.log_density(g[:, 0]))


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
    at = varying_density(Problem(data, torch.sin, NormalLaw(["rate"]), noise, scale), gamma)
    mean_square = weights / weights.sum() @ at.with_slope(g)[1].numpy() ** 2
    information = at.matrix(g).numpy()
    np.testing.assert_allclose(information[0], np.diag(mean_square), rtol=1e-9, atol=1e-12)


def test_where_most_is_observed_nothing_is_left_out():
    problem = problem_of("combined")
    problem.conditions.present[:, :6] = True
    gamma = torch.zeros(len(problem.noise.names), dtype=torch.float64)
    assert varying_density(problem, gamma).narrow is None
