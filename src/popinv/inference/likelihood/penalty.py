"""Penalties on the log likelihood: of unlikely noise covariances, and of a law's coefficients.

The noise's penalty weighs as much as ``shrinkage sqrt(N)`` observations of the noise alone, of one
replicate and of the constant size of its family. The penalty moves the parameters that N systems
determine by about ``shrinkage`` standard errors, whatever N. It fixes the parameters that the
systems do not determine.

The law's penalty is the negative logarithm of a normal prior, ``sum(precision alpha**2) / 2``
(:attr:`popinv.population.laws.base.Law.precision`), whose effect vanishes as N grows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from popinv.forward.tangents import each_tangent
from popinv.inference.problem import Problem


@dataclass(frozen=True)
class Penalty:
    """A penalty's value, gradient (n_p,) and curvature (n_p, n_p)."""

    value: float
    gradient: np.ndarray
    curvature: np.ndarray

    def __add__(self, other: Penalty) -> Penalty:
        """Return the sum of two penalties."""
        return Penalty(
            self.value + other.value,
            self.gradient + other.gradient,
            self.curvature + other.curvature,
        )


def noise_penalty(problem: Problem, gamma: torch.Tensor) -> Penalty:
    """Return sqrt(N) times the family's :meth:`~popinv.population.noise.base.NoiseModel.penalty`.

    The curvature is the information of as many observations of the noise alone,
    ``sqrt(N) shrinkage tr(Gamma^{-1} d_i Gamma Gamma^{-1} d_j Gamma) / 2``.
    """
    n_p, d_alpha, weight = len(problem.free), problem.d_alpha, problem.count**0.5
    gradient, curvature = np.zeros(n_p), np.zeros((n_p, n_p))
    if not (problem.noise.shrinkage and problem.free_noise):
        return Penalty(0.0, gradient, curvature)
    family = problem.noise.family
    at = gamma[: len(family.names)].clone().requires_grad_(True)
    with torch.enable_grad():
        value = family.penalty(at)
        (slope,) = torch.autograd.grad(value, at)
    at, factor = at.detach(), family.cholesky(at.detach())
    whitened = []
    for change in each_tangent(family.covariance, at):
        half = torch.linalg.solve_triangular(factor, change, upper=False)
        whitened.append(torch.linalg.solve_triangular(factor, half.T, upper=False).flatten())
    rows, own = torch.stack(whitened), slice(d_alpha, d_alpha + len(at))
    gradient[own] = weight * slope.numpy()
    curvature[own, own] = 0.5 * weight * family.shrinkage * (rows @ rows.T).numpy()
    return Penalty(weight * float(value.detach()), gradient, curvature)


def law_penalty(problem: Problem, alpha: np.ndarray) -> Penalty:
    """Return the penalty of the law's coefficients, zero if the law is held."""
    weights, d_alpha = problem.precision * problem.free, problem.d_alpha
    gradient = np.zeros(len(weights))
    gradient[:d_alpha] = weights[:d_alpha] * alpha
    return Penalty(float(0.5 * gradient[:d_alpha] @ alpha), gradient, np.diag(weights))


def penalty_at(problem: Problem, p: np.ndarray) -> Penalty:
    """Return the sum of both penalties for p = (alpha, gamma)."""
    alpha, gamma = problem.split(p)
    return noise_penalty(problem, torch.from_numpy(gamma.copy())) + law_penalty(problem, alpha)
