"""Penalties on the log likelihood: of unlikely noise covariances, and by the prior.

The noise's penalty weighs as much as ``shrinkage sqrt(N)`` observations of the noise alone, of one
replicate and of the constant size of its family. The penalty moves the parameters that N systems
determine by about ``shrinkage`` standard errors, whatever N. It fixes the parameters that the
systems do not determine.

The other penalty is the negative log density of the prior
(:mod:`popinv.population.priors.prior`), whose effect vanishes as N grows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from popinv.forward.tangents import each_tangent
from popinv.inference.density.problem import Problem
from popinv.late import torch
from popinv.population.priors.prior import nonnegative


@dataclass(frozen=True)
class Penalty:
    """A penalty's value and derivatives in p.

    Attributes
    ----------
    value : float
    gradient : ndarray of shape (n_p,)
    curvature : ndarray of shape (n_p, n_p)
        The Hessian with its negative eigenvalues set to zero, as for steps and variances.
    observed : ndarray of shape (n_p, n_p)
        The Hessian itself, whose inverse, with the information of the data, is the posterior's
        covariance.
    """

    value: float
    gradient: np.ndarray
    curvature: np.ndarray
    observed: np.ndarray

    def __add__(self, other: Penalty) -> Penalty:
        """Return the sum of two penalties."""
        return Penalty(
            self.value + other.value,
            self.gradient + other.gradient,
            self.curvature + other.curvature,
            self.observed + other.observed,
        )


def noise_penalty(problem: Problem, gamma: torch.Tensor) -> Penalty:
    """Return the penalty of unlikely noise, and by the prior of the noise.

    The first is sqrt(N) times the family's
    :meth:`~popinv.population.noise.base.NoiseModel.penalty`.

    The curvature is the information of as many observations of the noise alone,
    ``sqrt(N) shrinkage tr(Gamma^{-1} d_i Gamma Gamma^{-1} d_j Gamma) / 2``.
    """
    n_p, d_alpha, weight = len(problem.free), problem.d_alpha, problem.count**0.5
    gradient, curvature = np.zeros(n_p), np.zeros((n_p, n_p))
    p = np.concatenate([np.zeros(d_alpha), gamma.detach().numpy()])
    by_prior = _prior_penalty(problem, p, np.arange(n_p) >= d_alpha)
    if not (problem.noise.shrinkage and problem.free_noise):
        return by_prior
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
    rows, place = torch.stack(whitened), slice(d_alpha, d_alpha + len(at))
    gradient[place] = weight * slope.numpy()
    curvature[place, place] = 0.5 * weight * family.shrinkage * (rows @ rows.T).numpy()
    own = Penalty(weight * float(value.detach()), gradient, curvature, curvature)
    return own + by_prior


def law_penalty(problem: Problem, alpha: np.ndarray) -> Penalty:
    """Return the penalty by the prior of the law, zero if the law is held."""
    n_p, d_alpha = len(problem.free), problem.d_alpha
    p = np.concatenate([alpha, np.zeros(n_p - d_alpha)])
    return _prior_penalty(problem, p, np.arange(n_p) < d_alpha)


def _prior_penalty(problem: Problem, p: np.ndarray, part: np.ndarray) -> Penalty:
    """Return the penalty by the prior of what moves among some entries, a mask (n_p,)."""
    free = problem.free & part
    prior = problem.prior.among(free)
    if not prior:
        nothing = np.zeros((len(p), len(p)))
        return Penalty(0.0, np.zeros(len(p)), nothing, nothing)
    value, gradient, curvature = prior.derivatives(p)
    # A correlation that is held is a known argument of the priors of the others.
    curvature = curvature * np.outer(free, free)
    return Penalty(-value, -gradient * free, nonnegative(curvature), curvature)


def penalty_at(problem: Problem, p: np.ndarray) -> Penalty:
    """Return the sum of both penalties for p = (alpha, gamma)."""
    alpha, gamma = problem.split(p)
    return noise_penalty(problem, torch.from_numpy(gamma.copy())) + law_penalty(problem, alpha)
