"""Confidence intervals by resampling systems.

Each resample draws N systems with replacement and descends again from the estimate. The spread
of the answers is the standard error; the interval is normal in the unconstrained coordinates, so
that a positive quantity has a positive interval.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.stats import t
from tqdm import tqdm

from popinv.inference.descent import run
from popinv.inference.problem import DescentSettings, Problem, begin
from popinv.population.noise.base import NoiseModel
from popinv.seeds import generator

__all__ = ["bootstrap", "noise_interval", "normal_interval"]


def bootstrap(
    problem: Problem,
    settings: DescentSettings,
    alpha: np.ndarray,
    gamma: np.ndarray,
    resamples: int,
    iterations: int = 80,
    progress: bool = True,
) -> np.ndarray:
    """Return the parameters estimated from each resample.

    A resample's answer lies within a few standard errors of the estimate, where the
    preconditioned descent needs few steps; its learning rate starts where the full one starts.

    Returns
    -------
    ndarray of shape (resamples, n_p)
    """
    short = replace(settings, iterations=iterations, averaging=0.5)
    answers = []
    for b in tqdm(range(resamples), desc="resamples", disable=None if progress else True):
        rows = generator(problem.seed, f"{problem.stage}/rows", b).integers(
            len(problem.data), size=len(problem.data)
        )
        resampled = replace(problem.of_systems(rows), stage=f"{problem.stage}/{b}")
        result = run(begin(alpha, gamma, short), resampled, short, progress=False)
        answers.append(np.concatenate([result.alpha, result.gamma]))
    return np.array(answers).reshape(resamples, len(alpha) + len(gamma))


def normal_interval(
    centre: np.ndarray, answers: np.ndarray, level: float = 0.95
) -> tuple[np.ndarray, np.ndarray]:
    """Return lower and upper ends in the unconstrained coordinates, each (n_p,).

    The standard deviation of B answers is itself uncertain: the quantile is Student's with B - 1
    degrees of freedom, 7 % beyond the normal one for 20 answers.
    """
    half = t.ppf(0.5 + level / 2, len(answers) - 1) * answers.std(axis=0, ddof=1)
    return centre - half, centre + half


def noise_interval(
    noise: NoiseModel, gamma: np.ndarray, answers: np.ndarray, level: float = 0.95
) -> tuple[np.ndarray, np.ndarray]:
    """Return lower and upper ends for the noise's natural values, each (n,).

    The interval is normal in the logarithm of each positive value and in atanh of each
    correlation. Where gamma holds just these, that is :func:`normal_interval` of gamma; an
    unrestricted covariance has other coordinates, in which an end would mix several values.

    Parameters
    ----------
    noise : NoiseModel
    gamma : ndarray of shape (n,)
        The estimate.
    answers : ndarray of shape (B, n)
        gamma of each resample.
    level : float
    """
    centre, spread = (noise.unbounded(noise.to_natural(g)) for g in (gamma, answers))
    low, high = normal_interval(centre, spread, level)
    return noise.bounded(low), noise.bounded(high)
