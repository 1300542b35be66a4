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
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from popinv.inference.problem import Problem
from popinv.judgement.measures import IntrinsicVariation
from popinv.late import torch
from popinv.population.noise.intrinsic import IntrinsicNoise


def intrinsic_variation(problem: Problem, population: xr.Dataset) -> IntrinsicVariation | None:
    """Return the shares of variation and noise, or None if the simulator is not random.

    Parameters
    ----------
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
    return IntrinsicVariation(share, ratio, error, least, least < doubt)


def learned_covariances(problem: Problem, z: np.ndarray) -> np.ndarray:
    """Return the learned C (n, d, d) at inputs z (n, inputs) of a random simulator."""
    noise = problem.noise.of_one
    assert isinstance(noise, IntrinsicNoise)
    with torch.no_grad():
        signal = problem.surrogate(torch.from_numpy(z))
        return np.asarray(noise.intrinsic(signal)[:, 0].numpy())


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
