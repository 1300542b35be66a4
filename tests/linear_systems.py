"""Systems that answer linearly, through correlated noise: posteriors in closed form."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext

import numpy as np
import torch

from popinv.inference.density.conditions import Conditions
from popinv.inference.density.problem import Problem
from popinv.population.laws.gaussian import normal_law
from popinv.population.noise.kernel import KernelNoise

PLACES = np.linspace(0.1, 0.9, 5)[:, None]
MATRIX = np.array([[1.0, 0.2], [0.5, 1.0], [-0.3, 0.8], [0.1, -1.0], [0.7, 0.0]])
ALPHA = np.array([1.0, -0.5, np.log(0.6), np.log(0.4)])


class Solver:
    """A function in the place of a solver."""

    def __init__(self, function: Callable[[torch.Tensor], torch.Tensor]) -> None:
        self.function = function

    def __call__(self, z: torch.Tensor) -> torch.Tensor:
        return self.function(z)

    def session(self):
        return nullcontext()


def with_gaps(count: int) -> Conditions:
    """Return noise scales that differ, and two gaps."""
    present = np.ones((count, 5), dtype=bool)
    present[1, 2:4] = present[4, 0] = False
    return Conditions.stated((count, 5), np.linspace(0.5, 2, count), present, np.zeros(5))


def linear_problem(count: int = 40, conditions: Conditions | None = None, seed: int = 0):
    """Return a problem with G(z) = A z, its estimate, and the true z (N, 2)."""
    law, noise = normal_law(["a", "b"]), KernelNoise(PLACES, "exponential", nugget=False)
    gamma = noise.from_natural({"amplitude": 0.5, "length": 0.3})
    rng = np.random.default_rng(seed)
    omega, e = rng.standard_normal((count, 2)), rng.standard_normal((count, 5))
    z = law.sample(torch.from_numpy(ALPHA), torch.from_numpy(omega)).numpy()
    xi = noise.sample(torch.from_numpy(gamma), torch.from_numpy(e)).numpy()
    if conditions is not None and conditions.scale is not None:
        xi = conditions.scale[:, None] * xi
    data = z @ MATRIX.T + xi
    if conditions is not None and conditions.present is not None:
        data = np.where(conditions.present, data, conditions.fill)
    matrix = torch.from_numpy(MATRIX)
    problem = Problem(
        data, lambda z: z @ matrix.T, law, noise, np.full(6, 0.5), seed=3, stage="posterior",
        conditions=conditions,
    )  # fmt: skip
    return problem, (ALPHA, gamma), z


def closed_form(
    problem: Problem, gamma: np.ndarray, n: int, alpha: np.ndarray = ALPHA
) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and covariance of the posterior of system n."""
    seen, scale = np.ones(5, dtype=bool), 1.0
    if problem.conditions is not None:
        seen = seen if problem.conditions.present is None else problem.conditions.present[n]
        scale = 1.0 if problem.conditions.scale is None else problem.conditions.scale[n]
    covariance = scale**2 * problem.noise.covariance(torch.from_numpy(gamma)).numpy()
    noise = np.linalg.inv(covariance[np.ix_(seen, seen)])
    a, prior = MATRIX[seen], np.diag(np.exp(-2 * alpha[2:]))
    posterior = np.linalg.inv(prior + a.T @ noise @ a)
    mean = posterior @ (prior @ alpha[:2] + a.T @ noise @ problem.data[n, seen])
    return mean, posterior
