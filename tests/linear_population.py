"""A linear model of normal parameters, whose likelihood is known in closed form."""

from __future__ import annotations

import numpy as np
import torch
from slopes import slopes

from popinv.inference.density.conditions import Conditions
from popinv.inference.density.problem import Problem
from popinv.population.laws.gaussian import normal_law
from popinv.population.noise.kernel import KernelNoise

PLACES = np.linspace(0.0, 1.0, 6)
TRUTH = np.array([1.0, -0.5, np.log(0.8), np.log(0.5), np.log(0.3), np.log(0.2)])


def line(z: torch.Tensor) -> torch.Tensor:
    """Return intercept plus slope times place."""
    return z[:, :1] + z[:, 1:] * torch.from_numpy(PLACES)


def linear_problem(
    count: int = 200, seed: int = 0, scales: bool = False, gaps: bool = False
) -> Problem:
    """Return a population of lines seen through correlated noise."""
    rng = np.random.default_rng(seed)
    law = normal_law(["intercept", "slope"])
    noise = KernelNoise(PLACES[:, None], "exponential", nugget=False)
    alpha, gamma = torch.from_numpy(TRUTH[:4]), torch.from_numpy(TRUTH[4:])
    signal = line(law.sample(alpha, torch.from_numpy(rng.standard_normal((count, 2)))))
    xi = noise.sample(gamma, torch.from_numpy(rng.standard_normal((count, 6)))).numpy()
    scale = rng.uniform(0.5, 2.0, count) if scales else None
    data = signal.numpy() + (1.0 if scale is None else scale[:, None]) * xi
    conditions = None
    if scales or gaps:
        present = fill = None
        if gaps:
            present = rng.random((count, 6)) > 0.25
            present[np.arange(count), rng.integers(6, size=count)] = True
            fill = data.mean(axis=0)
            data = np.where(present, data, fill)
        conditions = Conditions.stated(data.shape, scale=scale, present=present, fill=fill)
    return Problem(data, line, law, noise, np.full(6, 0.5), seed=seed, conditions=conditions)


def exact_log_likelihood(problem: Problem, p: np.ndarray) -> np.ndarray:
    """Return log p(y_n) of each system, in closed form."""
    design = np.column_stack([np.ones(6), PLACES])
    signal = design @ np.diag(np.exp(2 * p[2:4])) @ design.T
    noise = problem.noise.covariance(torch.from_numpy(p[4:])).numpy()
    scale, seen = np.ones(len(problem.data)), np.full(problem.data.shape, True)
    if problem.conditions is not None:
        scale = scale if problem.conditions.scale is None else problem.conditions.scale
        seen = seen if problem.conditions.present is None else problem.conditions.present
    covariance = signal + scale[:, None, None] ** 2 * noise
    return normal_log_density(problem.data - design @ p[:2], covariance, seen)


def normal_log_density(
    residual: np.ndarray, covariance: np.ndarray, seen: np.ndarray
) -> np.ndarray:
    """Return the log densities of rows (N, d) about zero, of the entries that are seen alone."""
    # What is not seen becomes an independent entry at its mean, of variance 1.
    both = seen[:, :, None] & seen[:, None, :]
    covariance = np.where(both, covariance, np.eye(residual.shape[1]))
    residual = np.where(seen, residual, 0.0)
    squares = (residual * np.linalg.solve(covariance, residual[..., None])[..., 0]).sum(axis=1)
    of_seen = seen.sum(axis=1) * np.log(2 * np.pi)
    return -0.5 * (squares + np.linalg.slogdet(covariance)[1] + of_seen)


def exact_scores(problem: Problem, p: np.ndarray, h: float = 1e-5) -> np.ndarray:
    """Return the derivatives of log p(y_n) by central differences, error O(h**2)."""
    return slopes(lambda q: exact_log_likelihood(problem, q), p, h)
