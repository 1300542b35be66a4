r"""Intrinsic variation of a random simulator beside the measurement noise.

With C the mean over the law of the covariance of the simulator's answer given its parameters
(:mod:`popinv.population.noise.intrinsic`), Gamma the recovered noise, and V = C + Gamma, the share
of the variation is ``trace(V^{-1} C) / d``. The observations alone show V; the simulator
separates the two. C is learned from single solves. Repeated solves of some systems
measure it without a model, as S_k at parameters z_k. With ``V_k = C(z_k) + Gamma``,

.. math:: \rho = \sum_k \operatorname{tr} V_k^{-1} S_k \Big/
    \sum_k \operatorname{tr} V_k^{-1} C(z_k)

is close to 1 if C was learned well. Its standard error follows from the spread of the systems. An
error of C by a share is an error of Gamma of the opposite sign. Noise that is smaller than the
error of C is not told apart from the variation.

*Shape.* The density of an observation given z is taken for normal. With the skewness g_1 and the
excess kurtosis g_2 of an observation given z, a function of its first power alone has at most

.. math:: 1 - \ell, \qquad \ell = \frac{g_1^2}{g_2 + 2}

of the information about its mean that its first two powers have together (Godambe and Thompson,
J. Statist. Plann. Inference 22, 1989). Counts with a Poisson law of mean lambda have
:math:`\ell = 1 / (2 \lambda + 1)`. Fresh solves y_k with noise xi_k show both
moments, as ``V_k^{-1/2} (y_k - m(z_k) + xi_k)``.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from popinv.inference.density.problem import Problem
from popinv.inference.uncertainty.surrogate_bias import FreshSolves
from popinv.judgement.measures import IntrinsicVariation
from popinv.late import torch
from popinv.seeds import generator

# A skewness within this many standard errors of zero counts as zero.
_SURE = 4.0


def intrinsic_variation(
    problem: Problem, population: xr.Dataset, fresh: FreshSolves
) -> IntrinsicVariation | None:
    """Return the shares of variation and noise, or None if the simulator is not random.

    Parameters
    ----------
    fresh : FreshSolves
        Solves that the surrogate has not seen.
    population : Dataset
        The answer, with ``intrinsic_covariance``, and ``repeated_covariance`` if solves were
        repeated.
    """
    if "intrinsic_covariance" not in population:
        return None
    learned = population["intrinsic_covariance"].values
    noise = population["noise_covariance"].values * problem.conditions.mean_square_scale
    share = float(np.trace(np.linalg.solve(learned + noise, learned)) / len(learned))
    doubt, ratio, error = 0.0, None, None
    if "repeated_covariance" in population:
        ratio, error = _repeated_to_learned(problem, population, noise)
        doubt = abs(ratio - 1) if abs(ratio - 1) > 2 * error else error
    parts = np.diag(noise) / np.maximum(np.diag(learned), 1e-300)
    # Noise with fewer parameters than observations is known where it is largest beside the
    # variation.
    pooled = len(problem.noise.names) < len(learned)
    least = float(parts.max() if pooled else parts.min())
    lost = None
    if len(fresh.z) > 1:
        lost = lost_information(_standardised(problem, noise, fresh))
    return IntrinsicVariation(share, ratio, error, least, least < doubt, lost)


def lost_information(values: np.ndarray) -> float:
    """Return the largest ell of observations, values (K, d).

    Skewness that the error of K values explains is zero.
    """
    centred = values - values.mean(axis=0)
    unit = centred / np.sqrt((centred**2).mean(axis=0))
    skewness, excess = (unit**3).mean(axis=0), (unit**4).mean(axis=0) - 3
    seen = np.abs(skewness) > _SURE * np.sqrt(6 / len(values))
    return float(np.where(seen, skewness**2 / (excess + 2), 0.0).max())


def _standardised(problem: Problem, noise: np.ndarray, fresh: FreshSolves) -> np.ndarray:
    """Return what fresh solves with noise leave of the learned mean, in its deviations, (K, d)."""
    mean, learned = _learned(problem, fresh.z)
    e = generator(problem.seed, f"{problem.stage}/shape").standard_normal(mean.shape)
    left = fresh.y - mean + e @ np.linalg.cholesky(noise).T
    return np.linalg.solve(np.linalg.cholesky(learned + noise), left[..., None])[..., 0]


def learned_covariances(problem: Problem, z: np.ndarray) -> np.ndarray:
    """Return the learned C (n, d, d) at inputs z (n, inputs) of a random simulator."""
    return _learned(problem, z)[1]


def _learned(problem: Problem, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the learned m (n, d) and C (n, d, d) at inputs z (n, inputs)."""
    noise = problem.noise.of_one
    with torch.no_grad():
        signal = problem.surrogate(torch.from_numpy(z))
        learned = noise.variation(signal)[:, 0].numpy()
        # Replicates have the same mean.
        return noise.mean(signal).numpy()[:, : len(learned[0])], learned


def _repeated_to_learned(
    problem: Problem, population: xr.Dataset, noise: np.ndarray
) -> tuple[float, float]:
    """Return the ratio of repeated to learned variances, and its standard error."""
    learned = learned_covariances(problem, population["repeated_inputs"].values)
    repeated = population["repeated_covariance"].values
    weights = np.linalg.inv(learned + noise)
    own, other = (np.einsum("nij,nji->n", weights, each) for each in (learned, repeated))
    ratio = float(other.sum() / own.sum())
    left = other - ratio * own
    return ratio, float(np.sqrt(np.square(left).sum()) / own.sum())
