"""The covariance of the noise, averaged over the law if the noise varies with the signal."""

from __future__ import annotations

import torch

from popinv.inference.moments import matched_normals
from popinv.inference.problem import Problem
from popinv.seeds import generator

_PAIRS = 1000


def mean_noise_covariance(problem: Problem, p: torch.Tensor) -> torch.Tensor:
    """Return the covariance of noise of scale 1, shape (d_y, d_y).

    If the noise varies, this is the mean over 2000 draws of the law, in which the systems take
    turns with their known quantities.

    Parameters
    ----------
    p : Tensor of shape (n_p,)
    """
    alpha, gamma = p[: problem.d_alpha], p[problem.d_alpha :]
    if not problem.noise.varies:
        return problem.noise.covariance(gamma)
    width = problem.law.d_omega
    omega = matched_normals(generator(problem.seed, "mean_noise"), max(_PAIRS, 2 * width), width)
    with torch.no_grad():
        signal = problem.signal(alpha, omega)
        covariates = problem.known_in_turns(len(signal)).covariates
        return problem.noise.mean_covariance(gamma, signal, covariates)


def mean_noise_factor(problem: Problem, p: torch.Tensor) -> torch.Tensor:
    """Return the Cholesky factor of the noise's covariance, or of its mean over the law."""
    if not problem.noise.varies:
        return problem.noise.cholesky(p[problem.d_alpha :])
    return torch.linalg.cholesky(mean_noise_covariance(problem, p))
