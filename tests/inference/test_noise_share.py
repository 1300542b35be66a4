"""The size of the noise beside the spread of the observations."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from linear_population import linear_problem

from popinv.forward.base import Observations
from popinv.inference.checks.noise_share import least_noise, noise_shares
from popinv.inference.density.conditions import Conditions
from popinv.inference.density.problem import Problem
from popinv.population.laws.gaussian import normal_law
from popinv.population.noise.terms import replicated_noise
from popinv.population.noise.unstructured import DiagonalNoise
from popinv.population.observe import observations_dataset
from popinv.store import rows as stored_rows


def test_shares_are_standard_deviations_over_those_of_the_data() -> None:
    problem = linear_problem(400, scales=True, gaps=True)
    covariance = np.diag(np.arange(1.0, 7.0) ** 2)
    conditions = problem.conditions
    expected = []
    for j in range(6):
        seen = problem.data[conditions.present[:, j], j]
        scale = np.sqrt(np.mean(conditions.scale**2))
        expected.append((j + 1) * scale / seen.std())
    np.testing.assert_allclose(noise_shares(problem, covariance), expected)


@pytest.mark.parametrize("rows", [1, 7, 399])
def test_systems_are_read_in_blocks(monkeypatch, rows) -> None:
    problem = linear_problem(400, scales=True, gaps=True)
    # The first systems do not show the second observation, and the mean is far from zero.
    problem.conditions.present[:20, 1] = False
    problem = replace(problem, data=problem.data + 1e3)
    whole = noise_shares(problem, np.eye(6))
    monkeypatch.setattr(stored_rows, "_BLOCK_VALUES", 6 * rows)
    np.testing.assert_allclose(noise_shares(problem, np.eye(6)), whole, rtol=1e-8)


def test_an_observation_that_is_the_same_in_all_systems_has_no_share() -> None:
    problem = linear_problem(50)
    problem.data[:, 3] = 0.1
    assert np.isnan(noise_shares(problem, np.eye(6))).tolist() == [j == 3 for j in range(6)]


def test_replicates_count_together() -> None:
    rng = np.random.default_rng(0)
    y = rng.normal(size=(50, 6))
    present = np.ones_like(y, dtype=bool)
    present[:10, 2:] = False
    conditions = Conditions.stated(present.shape, present=present, fill=np.zeros(6))
    problem = Problem(
        np.where(present, y, 0.0),
        lambda z: z.repeat(1, 6),
        normal_law(["a"]),
        replicated_noise(DiagonalNoise(2), 3),
        np.full(4, 0.5),
        conditions=conditions,
    )
    both = np.concatenate([y[:, :2], y[10:, 2:4], y[10:, 4:]])
    covariance = np.diag([1e-8, 1.0])
    np.testing.assert_allclose(
        noise_shares(problem, covariance), np.array([1e-4, 1.0]) / both.std(axis=0)
    )
    dataset = observations_dataset(
        y, Observations(np.zeros((2, 1)), ("entry",), "y"), heldout=0, replicate_count=3
    )
    population = xr.Dataset({"noise_covariance": (("a", "b"), covariance)})
    least = least_noise(problem, population, dataset)
    assert least.share == pytest.approx(1e-4 / both[:, 0].std())
    assert least.observation == "observation 1"


def test_an_observation_seen_once_has_no_share() -> None:
    problem = linear_problem(5)
    present = np.ones((5, 6), dtype=bool)
    present[1:, 2] = False
    problem = replace(
        problem, conditions=Conditions.stated(present.shape, present=present, fill=np.zeros(6))
    )
    assert np.isnan(noise_shares(problem, np.eye(6))).tolist() == [j == 2 for j in range(6)]
