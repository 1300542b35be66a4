"""A study whose law has a mirror image but for a tilt: its descent has two basins."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from popinv.inference.density.problem import Problem
from popinv.inference.estimators.settings import DescentSettings
from popinv.inference.uncertainty import distance_influence
from popinv.methods.restarts.descents import descend
from popinv.population.laws.gaussian import normal_law
from popinv.population.noise.kernel import KernelNoise

DESCENT = DescentSettings(iterations=40, model_samples=200, directions=16, legs=1)
ERRORS = np.array([0.05, 0.15, 0.1, 0.2])


def mirrored_problem(tilt: float) -> tuple[Problem, np.ndarray]:
    """Return y = z^2 a + tilt z b + noise: the law's mean has a mirror image but for the tilt."""
    law = normal_law(["a"])
    law_noise = KernelNoise(np.linspace(0.1, 0.9, 3)[:, None], "exponential", nugget=False)
    gamma = law_noise.from_natural({"amplitude": 0.3, "length": 0.3})
    squares, lines = torch.tensor([[1.0, 0.5, -0.3]]), torch.tensor([[0.3, -0.2, 1.0]])

    def simulator(z: torch.Tensor) -> torch.Tensor:
        return z**2 @ squares.to(z) + tilt * z @ lines.to(z)

    alpha, rng = np.array([1.0, math.log(0.3)]), np.random.default_rng(0)
    omega = torch.from_numpy(rng.standard_normal((200, 1)))
    e = torch.from_numpy(rng.standard_normal((200, 3)))
    z = law.sample(torch.from_numpy(alpha), omega)
    data = simulator(z) + law_noise.sample(torch.from_numpy(gamma), e)
    problem = Problem(data.numpy(), simulator, law, law_noise, np.full(4, 0.5), 0, "sgd")
    return problem, np.concatenate([alpha, gamma])


def starts_on_both_sides(truth: np.ndarray) -> list[np.ndarray]:
    """Return four starts, of which every other one is on the truth's side."""
    rng = np.random.default_rng(2)
    return [
        np.r_[side * (0.6 + 0.6 * rng.random()), truth[1:] + 0.2 * rng.standard_normal(3)]
        for side in (-1.0, 1.0, -1.0, 1.0)
    ]


def descended(sign: float) -> tuple[Problem, np.ndarray, np.ndarray, list[np.ndarray]]:
    """Return the problem, its truth, the end of a descent in a basin, and four starts.

    The basin is the truth's (1) or its image's (-1).
    """
    problem, truth = mirrored_problem(0.3)
    (end,), _ = descend(problem, DESCENT, [truth * np.array([sign, 1, 1, 1])], "answer")
    return problem, truth, end, starts_on_both_sides(truth)


@pytest.fixture
def quick(monkeypatch):
    """Let each descent judge its arrival by fewer draws."""
    monkeypatch.setattr(distance_influence, "_DRAWS", 1000)
    monkeypatch.setattr(distance_influence, "_DIRECTIONS", 40)


def losses_of(means: list[float]) -> np.ndarray:
    """Return losses with common draws, so that their differences are exact but for a little."""
    rng = np.random.default_rng(0)
    return np.array(means)[:, None] + rng.normal(size=20) + 1e-3 * rng.normal(size=(len(means), 20))
