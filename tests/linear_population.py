"""A linear model of normal parameters, whose likelihood is known in closed form."""

from __future__ import annotations

import numpy as np
import torch
from scipy.stats import multivariate_normal

from popinv.inference.conditions import Conditions
from popinv.inference.problem import Problem
from popinv.population.laws.normal.law import NormalLaw
from popinv.population.noise.kernel.noise import KernelNoise

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
    law = NormalLaw(["intercept", "slope"])
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
        conditions = Conditions(scale=scale, present=present, fill=fill)
    return Problem(data, line, law, noise, np.full(6, 0.5), seed=seed, conditions=conditions)


def exact_log_likelihood(problem: Problem, p: np.ndarray) -> np.ndarray:
    """Return log p(y_n) by SciPy, system by system."""
    design = np.column_stack([np.ones(6), PLACES])
    mean = design @ p[:2]
    signal = design @ np.diag(np.exp(2 * p[2:4])) @ design.T
    noise = problem.noise.covariance(torch.from_numpy(p[4:])).numpy()
    values = []
    for n, y in enumerate(problem.data):
        conditions = problem.conditions
        scale = 1.0 if conditions is None or conditions.scale is None else conditions.scale[n]
        seen = (
            np.full(6, True)
            if conditions is None or conditions.present is None
            else conditions.present[n]
        )
        covariance = (signal + scale**2 * noise)[np.ix_(seen, seen)]
        values.append(multivariate_normal.logpdf(y[seen], mean[seen], covariance))
    return np.array(values)


def exact_scores(problem: Problem, p: np.ndarray, h: float = 1e-5) -> np.ndarray:
    """Return the derivatives of log p(y_n) by central differences, error O(h**2)."""
    columns = []
    for i in range(len(p)):
        shift = h * np.eye(len(p))[i]
        up, down = (exact_log_likelihood(problem, q) for q in (p + shift, p - shift))
        columns.append((up - down) / (2 * h))
    return np.stack(columns, axis=1)
