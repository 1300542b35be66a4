r"""Intrinsic variation of a random simulator beside the measurement noise.

With C the mean over the law of the covariance of the simulator's answer given its parameters
(:mod:`popinv.population.noise.intrinsic`), Gamma the recovered noise, and V = C + Gamma, the share
of the variation is ``trace(V^{-1} C) / d``. The observations alone show V; the simulator
separates the two. C is learned from single solves. Repeated solves of some systems
(:mod:`popinv.inference.sampling_error`) measure it without a model, as S, and

.. math:: \rho = \operatorname{tr}(V^{-1} C) / \operatorname{tr}(V^{-1} S)

is close to 1 if it was learned well. An error of C by a share is an error of Gamma of the opposite
sign. Noise that is smaller than the error of C is not told apart from the variation.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from popinv.inference.problem import Problem
from popinv.judgement.answer import IntrinsicVariation


def intrinsic_variation(problem: Problem, population: xr.Dataset) -> IntrinsicVariation | None:
    """Return the shares of variation and noise, or None if the simulator is not random.

    Parameters
    ----------
    population : Dataset
        The answer, with ``intrinsic_covariance``, and ``sampling_error_covariance`` if solves were
        repeated.
    """
    if "intrinsic_covariance" not in population:
        return None
    learned = population["intrinsic_covariance"].values
    noise = population["noise_covariance"].values * problem.conditions.mean_square_scale
    weight = np.linalg.inv(learned + noise)
    share = float(np.trace(weight @ learned) / len(learned))
    # Single solves determine a variance to a few per cent at best.
    doubt, ratio, error = 0.0, None, None
    if "sampling_error_covariance" in population:
        repeated = population["sampling_error_covariance"].values
        errors = population["sampling_error_covariance_standard_error"].values
        ratio = float(np.trace(weight @ learned) / np.trace(weight @ repeated))
        # The errors of the entries are summed, as if they were the same in all.
        error = float(ratio * (np.diag(weight) @ np.diag(errors)) / np.trace(weight @ repeated))
        doubt = abs(ratio - 1) if abs(ratio - 1) > 2 * error else error
    parts = np.diag(noise) / np.maximum(np.diag(learned), 1e-300)
    # Noise with fewer parameters than observations is known where it is largest beside the
    # variation.
    pooled = len(problem.noise.names) < len(learned)
    least = float(parts.max() if pooled else parts.min())
    return IntrinsicVariation(share, ratio, error, least, least < doubt)
