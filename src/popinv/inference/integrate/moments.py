r"""The moments of an observation, and their derivatives in the law and the noise.

The moments are the mean, the covariance, and some third central moments of ``y = G(z) + xi``.
Each is measured in its own sampling standard deviation for one system. The derivative of moment k
with respect to a parameter, times sqrt(N), is then its change in standard errors of N systems.
With C the covariance of y, ``C = L L^T`` and ``u = L^{-1}(y - E y)``:

mean
    ``L^{-1} d m``; the sample mean of u has covariance I / N.
covariance
    the entries of ``E = L^{-1} (d C) L^{-T}`` on and above the diagonal, with diagonal entries
    divided by sqrt(2): for Gaussian data the sample covariance of u has independent entries of
    variance 1/N, 2/N on the diagonal. The squares sum to tr(E^2) / 2, as in the Slepian-Bangs
    formula.
third moments
    ``d E (v^T u)^3`` for a few unit vectors v, decorrelated by the covariance of
    ``(v^T u)^3 - 3 v^T u``, the influence of one system on the sample's third central moment
    (for Gaussian data ``6 (v^T w)^3`` between v and w). It is estimated from draws, since the
    sixth moments of a skewed signal are far from Gaussian. For Gaussian data third moments are
    uncorrelated with the other two; for other data this correlation is neglected.

The directions v of the third moments are chosen as follows. Gaussian noise has no third moments, so
they come from the signal alone, and are largest where the signal is strongest: along the leading
principal directions of the whitened signal, and along the observations themselves. There are at
most 2 d_y. All third moments would be d_y^3 / 6 numbers, most of them zero except for the noise of
the draws.

The signal's part comes from draws of omega in pairs (omega, -omega) with covariance exactly I. For
a linear model of normal parameters all these moments are then exact, and the error of the draws
does not hide a trade-off between law and noise. The noise's part is a formula that needs no draws,
and the largest array is the matrix of derivatives. The construction is this package's own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from popinv.errors import DivergenceError
from popinv.forward.tangents import each_tangent
from popinv.inference.density.problem import Problem
from popinv.late import torch
from popinv.seeds import generator

# Steps of central differences: the network computes in single precision, the noise in double.
_SIGNAL_STEP, _NOISE_STEP = 1e-3, 1e-4
# A principal direction is used if the signal has at least this share of the variance along it.
_LEAST_SIGNAL = 0.05
# Combinations of third moments of smaller relative variance are poorly estimated and left out.
_LEAST_VARIANCE = 1e-2


@dataclass(frozen=True)
class MomentUnits:
    """The units in which moments are measured, at one (alpha, gamma).

    Parameters
    ----------
    mean : Tensor of shape (d_y,)
    factor : Tensor of shape (d_y, d_y)
        L, the Cholesky factor of the covariance of an observation.
    directions : Tensor of shape (d_y, K)
        Unit vectors v of the third moments, for whitened observations.
    decorrelation : Tensor of shape (K, K')
        Maps third moments to uncorrelated ones of unit sampling variance.
    """

    mean: torch.Tensor
    factor: torch.Tensor
    directions: torch.Tensor
    decorrelation: torch.Tensor

    def whiten(self, y: torch.Tensor) -> torch.Tensor:
        """Return ``L^{-1} (y - mean)`` for each row of y (n, d_y)."""
        return torch.linalg.solve_triangular(self.factor, (y - self.mean).T, upper=False).T

    def packed(self, matrix: torch.Tensor) -> torch.Tensor:
        """Return a symmetric matrix (d_y, d_y) as independent entries of unit variance."""
        rows, columns = torch.triu_indices(*matrix.shape)
        entries = matrix[rows, columns]
        return torch.where(rows == columns, entries / 2**0.5, entries)

    def of(self, y: torch.Tensor) -> torch.Tensor:
        """Return the sample's moments (n,) for observations y (M, d_y)."""
        u = self.whiten(y)
        centred = u - u.mean(dim=0)
        covariance = self.packed(centred.T @ centred / len(u))
        third = ((centred @ self.directions) ** 3).mean(dim=0) @ self.decorrelation
        return torch.cat([u.mean(dim=0), covariance, third])


def matched_normals(rng: np.random.Generator, pairs: int, width: int) -> torch.Tensor:
    """Return pairs (omega, -omega) of standard normal rows with covariance exactly I.

    Returns
    -------
    Tensor of shape (2 pairs, width)

    Raises
    ------
    ValueError
        If there are fewer pairs than columns.
    """
    if pairs < width:
        raise ValueError(f"{pairs} pairs of draws cannot have covariance I in {width} dimensions")
    draws = rng.standard_normal((pairs, width))
    factor = np.linalg.cholesky(draws.T @ draws / pairs)
    matched = torch.from_numpy(np.linalg.solve(factor, draws.T).T)
    return torch.cat([matched, -matched])


def reference_moments(
    problem: Problem, alpha: torch.Tensor, gamma: torch.Tensor, omega: torch.Tensor
) -> MomentUnits:
    """Return the units of the moments at (alpha, gamma), from draws omega (M, d_omega)."""
    signal = problem.signal(alpha, omega)
    mean = signal.mean(dim=0)
    centred = signal - mean
    of_noise = problem.conditions.mean_square_scale * problem.noise.covariance(gamma)
    factor, failed = torch.linalg.cholesky_ex(centred.T @ centred / len(signal) + of_noise)
    if failed or not torch.isfinite(factor).all():
        raise DivergenceError(
            "the answer has no covariance of the observations: no estimator has found a law "
            "that explains them. Start nearer to the population ('law.start', 'noise.start'), or "
            "fit a simpler law"
        )
    u = torch.linalg.solve_triangular(factor, centred.T, upper=False).T
    share, principal = torch.linalg.eigh(u.T @ u / len(u))
    single = factor.T / torch.linalg.norm(factor, dim=1)
    directions = torch.cat([principal[:, share > _LEAST_SIGNAL].flip(1), single], dim=1)
    rng = generator(problem.seed, "identifiability/noise")
    e = torch.from_numpy(rng.standard_normal(signal.shape))
    noise_factor = torch.linalg.cholesky(of_noise)
    noisy = u + torch.linalg.solve_triangular(factor, noise_factor @ e.T, upper=False).T
    projected = noisy @ directions
    influence = projected**3 - 3 * projected
    influence = influence - influence.mean(dim=0)
    variance, vectors = torch.linalg.eigh(influence.T @ influence / len(influence))
    kept = variance > _LEAST_VARIANCE * variance[-1]
    return MomentUnits(mean, factor, directions, vectors[:, kept] / torch.sqrt(variance[kept]))


def signal_derivatives(
    problem: Problem, alpha: torch.Tensor, omega: torch.Tensor, moments: MomentUnits
) -> np.ndarray:
    """Return the derivatives of one system's moments in alpha, shape (moments, d_alpha).

    Parameters
    ----------
    alpha : Tensor of shape (d_alpha,)
    omega : Tensor of shape (M, d_omega)
        Draws that all differences share.
    moments : MomentUnits
        Units, held fixed.
    """
    columns = each_tangent(lambda at: moments.of(problem.signal(at, omega)), alpha, _SIGNAL_STEP)
    return np.stack([column.numpy() for column in columns], axis=1)


def noise_derivatives(problem: Problem, gamma: torch.Tensor, moments: MomentUnits) -> np.ndarray:
    """Return the derivatives of one system's moments in gamma, shape (moments, d_gamma).

    The covariance changes, and the mean by a discrepancy. Parameters are treated one at a time, so
    that no array is larger than the result.
    """
    d_y, scale = problem.noise.d_y, problem.conditions.mean_square_scale
    entries = d_y * (d_y + 1) // 2
    derivatives = np.zeros((d_y + entries + moments.decorrelation.shape[1], len(gamma)))
    shifts = problem.noise.shift_derivatives(gamma)
    moved = torch.linalg.solve_triangular(moments.factor, shifts.T, upper=False)
    derivatives[:d_y, len(gamma) - len(shifts) :] = moved.numpy()
    for i in range(len(gamma)):
        shift = torch.zeros_like(gamma)
        shift[i] = _NOISE_STEP
        change = problem.noise.covariance(gamma + shift) - problem.noise.covariance(gamma - shift)
        half = torch.linalg.solve_triangular(moments.factor, change, upper=False)
        whole = torch.linalg.solve_triangular(moments.factor, half.T, upper=False)
        packed = moments.packed(whole).numpy()
        derivatives[d_y : d_y + entries, i] = scale * packed / (2 * _NOISE_STEP)
    return derivatives
