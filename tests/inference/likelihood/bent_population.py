"""Two parameters seen through a curved map, and the likelihood by quadrature."""

from __future__ import annotations

import numpy as np
import torch

from popinv.inference.density.problem import Problem
from popinv.population.laws.gaussian import normal_law
from popinv.population.noise.unstructured import IsotropicNoise


def bent_problem(count: int, deviation: float, seed: int = 0) -> Problem:
    """Return two parameters seen through a strongly curved map of three observations."""
    law, noise = normal_law(["a", "b"]), IsotropicNoise(3)

    def simulate(z: torch.Tensor) -> torch.Tensor:
        a, b = z[:, 0], z[:, 1]
        return torch.stack([a, b - 0.7 * a**2, torch.sin(a) * b], dim=1)

    rng = np.random.default_rng(seed)
    alpha = torch.tensor([0.3, 0.5, np.log(0.6), np.log(0.5)], dtype=torch.float64)
    y = simulate(law.sample(alpha, torch.from_numpy(rng.standard_normal((count, 2)))))
    data = y.numpy() + deviation * rng.standard_normal((count, 3))
    return Problem(data, simulate, law, noise, np.full(5, 0.5), seed=seed)


BENT = np.array([0.3, 0.5, np.log(0.6), np.log(0.5), 0.0])


def by_sum(data: np.ndarray, g: np.ndarray, log_weights: np.ndarray, sigma: float) -> np.ndarray:
    """Return log sum_k w_k N(y_n; g_k, sigma^2 I) of observations (N, d), for signals (K, d)."""
    constant = -data.shape[1] * (np.log(sigma) + 0.5 * np.log(2 * np.pi))
    logs = (log_weights - 0.5 * ((y - g) ** 2).sum(axis=1) / sigma**2 for y in data)
    # SciPy's function takes ten times as long as this for a few hundred numbers.
    return (
        np.array([each.max() + np.log(np.exp(each - each.max()).sum()) for each in logs]) + constant
    )


def by_quadrature(problem: Problem, p: np.ndarray, side: int = 601) -> np.ndarray:
    """Return log p(y_n) on a grid of omega (the trapezoidal rule, smooth and decaying)."""
    grid = np.linspace(-6, 6, side)
    omega = np.stack(np.meshgrid(grid, grid, indexing="ij"), axis=-1).reshape(-1, 2)
    alpha = torch.from_numpy(p[:4].copy())
    g = problem.simulate(problem.law.sample(alpha, torch.from_numpy(omega))).numpy()
    log_weights = -0.5 * (omega**2).sum(axis=1) - np.log(2 * np.pi)
    log_weights += 2 * np.log(grid[1] - grid[0])
    return by_sum(problem.data, g, log_weights, np.exp(p[4]))
