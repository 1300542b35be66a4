r"""The pseudo-likelihood of all systems together, from mean and covariance of the observations.

Systems without conditions of their own have the same moments, and their log likelihood is a
function of the sample mean ``\bar y`` and the sample covariance T alone. In the basis of
:mod:`popinv.inference.likelihood.eigenbasis`, with ``d = B (\bar y - m)``, ``v = lambda + 1`` and
``D = B T B^T + d d^T``,

.. math::
    \ell = -\tfrac N2 \Bigl(\sum_j D_{jj} / v_j + \log v_j
    + 2 \log\det L + d_y \log 2 \pi\Bigr), \qquad
    \partial_i \ell = N \Bigl( \partial_i m^T (d / v)
    + \tfrac12 \sum_{jk} \partial_i C_{jk} \frac{D_{jk}}{v_j v_k}
    - \tfrac12 \sum_j \partial_i C_{jj} / v_j \Bigr).

The observations are read once, in blocks of rows, for any number of evaluations. The sums are those
of :func:`popinv.inference.likelihood.pseudo.evaluate` in another order.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from popinv.inference.likelihood.eigenbasis import Eigenbasis
from popinv.inference.likelihood.model_moments import ModelMoments
from popinv.inference.likelihood.penalty import Penalty, noise_penalty
from popinv.inference.likelihood.whitening import covariance_derivatives
from popinv.inference.problem import Problem
from popinv.store.rows import Rows, row_blocks


@dataclass(frozen=True)
class SampleMoments:
    """Mean and covariance of N observations.

    Attributes
    ----------
    count : int
        N.
    mean : Tensor of shape (d_y,)
    covariance : Tensor of shape (d_y, d_y)
        Divided by N.
    """

    count: int
    mean: torch.Tensor
    covariance: torch.Tensor

    @classmethod
    def of(cls, rows: Rows) -> SampleMoments:
        """Return the moments of observations (N, d_y), which are read once, block by block."""
        d_y = rows.shape[1]
        total, square, centre = np.zeros(d_y), np.zeros((d_y, d_y)), np.zeros(d_y)
        for block, y in row_blocks(rows):
            if not block.start:
                # Sums about a point near the mean avoid cancellation.
                centre = y.mean(axis=0)
            y = y - centre
            total, square = total + y.sum(axis=0), square + y.T @ y
        shift = total / len(rows)
        covariance = square / len(rows) - np.outer(shift, shift)
        return cls(len(rows), torch.from_numpy(centre + shift), torch.from_numpy(covariance))


@dataclass(frozen=True)
class PseudoSums:
    """The pseudo-likelihood of all systems together.

    Attributes
    ----------
    value : float
    gradient : ndarray of shape (n_p,)
    information : ndarray of shape (n_p, n_p)
        Expected information, with the penalty's.
    penalty : Penalty
        The penalty of the noise family.
    """

    value: float
    gradient: np.ndarray
    information: np.ndarray
    penalty: Penalty


def has_sample_moments(problem: Problem) -> bool:
    """Return whether mean and covariance of the observations suffice."""
    return problem.conditions is None and not problem.noise.varies


def summed(
    problem: Problem, gamma: torch.Tensor, moments: ModelMoments, sample: SampleMoments
) -> PseudoSums:
    """Return the sums of pseudo-likelihood, scores and information over all systems.

    Parameters
    ----------
    problem : Problem
        As :func:`has_sample_moments` demands.
    gamma : Tensor of shape (n_gamma,)
    moments : ModelMoments
    sample : SampleMoments
        Those of the problem's data.

    Raises
    ------
    DivergenceError
        If the noise covariance is not positive definite.
    """
    n, free = sample.count, problem.free
    with torch.no_grad():
        of_noise = covariance_derivatives(problem, gamma) if problem.free_noise else []
        basis = Eigenbasis(moments, problem.noise.covariance(gamma), np.arange(len(moments.mean)))
        at = basis.derivatives(of_noise, free)
        inverse, B = 1 / (basis.values + 1), basis.matrix
        shift = B @ (sample.mean - basis.mean)
        second = B @ sample.covariance @ B.T + torch.outer(shift, shift)
        constant = 2 * basis.logdet + len(B) * math.log(2 * math.pi)
        square = (torch.diagonal(second) * inverse).sum()
        value = -0.5 * n * float(square - torch.log(inverse).sum() + constant)
        pairs = torch.outer(inverse, inverse)
        weights = pairs * second - torch.diag(inverse)
        quadratic = (at.covariances * weights).sum(dim=(1, 2))
        gradient = n * (at.means @ (shift * inverse) + 0.5 * quadratic)
        information = at.information((n * pairs).expand(3, -1, -1), n * inverse)
    penalty = noise_penalty(problem, gamma)
    return PseudoSums(value, gradient.numpy(), information.numpy() + penalty.curvature, penalty)
