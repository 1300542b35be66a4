"""Confidence intervals by resampling systems.

Each resample draws N systems with replacement and descends again from the estimate. The spread
of the answers is the standard error; the interval is normal in the unconstrained coordinates, so
that a positive quantity has a positive interval.

All these descents see the same random numbers, and so does one on the systems as they are. What
it moves is the descent's own noise; it is taken off the others, whose noise is nearly the same.
That leaves what resampling did, and needs few steps, which may be long: with half a Gauss-Newton
step each, six steps leave two per cent of the way to go. The curvature is that of the model,
and need not be computed for each resample.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from scipy.stats import t
from tqdm import tqdm

from popinv.inference.covariance_step import moves_full_covariance
from popinv.inference.descent import run
from popinv.inference.problem import DescentSettings, Problem, begin
from popinv.population.noise.base import NoiseModel
from popinv.seeds import generator

__all__ = ["bootstrap", "noise_interval", "normal_interval"]

_OF_FEW_PARAMETERS: dict[str, Any] = {
    "optimiser": "gauss_newton",
    "learning_rate": 0.5,
    "final_learning_rate": 0.5,
    "iterations": 12,
    "batch_size": None,
    # A matrix that serves so many steps is worth more draws, of which too few make it too stiff.
    "curvature_rows": 2000,
}
# A step sees few of the entries of an unrestricted covariance, so that many are needed, and their
# noise is part of the answer's: each resample has its own.
_OF_FULL_COVARIANCE: dict[str, Any] = {"iterations": 80}


def bootstrap(
    problem: Problem,
    settings: DescentSettings,
    alpha: np.ndarray,
    gamma: np.ndarray,
    resamples: int,
    iterations: int | None = None,
    progress: bool = True,
) -> np.ndarray:
    """Return the parameters estimated from each resample.

    Parameters
    ----------
    problem : Problem
    settings : DescentSettings
        Those of the study; optimiser, rates and number of steps are the resamples' own.
    alpha, gamma : ndarray
        The estimate.
    resamples : int
    iterations : int, optional
        Steps of each descent.
    progress : bool
        Show a bar on standard error, if that is a terminal.

    Returns
    -------
    ndarray of shape (resamples, n_p)
    """
    full = moves_full_covariance(problem, settings)
    own = _OF_FULL_COVARIANCE if full else _OF_FEW_PARAMETERS
    short = replace(settings, averaging=0.5, **own)
    short = short if iterations is None else replace(short, iterations=iterations)
    start = begin(alpha, gamma, short)
    moved = np.zeros(len(start.parameters))
    if not full:
        as_it_is = run(start, problem, short, progress=False)
        moved = np.concatenate([as_it_is.alpha, as_it_is.gamma]) - start.parameters
        short = replace(short, curvature_every=0)
        start = begin(alpha, gamma, short, as_it_is.state.curvature)
    answers = []
    for b in tqdm(range(resamples), desc="resamples", disable=None if progress else True):
        rows = generator(problem.seed, f"{problem.stage}/rows", b).integers(
            len(problem.data), size=len(problem.data)
        )
        resampled = problem.of_systems(rows)
        if full:
            resampled = replace(resampled, stage=f"{problem.stage}/{b}")
        result = run(start, resampled, short, progress=False)
        answers.append(np.concatenate([result.alpha, result.gamma]) - moved)
    return np.array(answers).reshape(resamples, len(alpha) + len(gamma))


def normal_interval(centre: np.ndarray, answers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return lower and upper 95 % ends in the unconstrained coordinates, each (n_p,).

    The standard deviation of B answers is itself uncertain: the quantile is Student's with B - 1
    degrees of freedom, 7 % beyond the normal one for 20 answers.
    """
    half = t.ppf(0.975, len(answers) - 1) * answers.std(axis=0, ddof=1)
    return centre - half, centre + half


def noise_interval(
    noise: NoiseModel, gamma: np.ndarray, answers: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return lower and upper 95 % ends for the noise's natural values, each (n,).

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
    """
    centre, spread = (noise.unbounded(noise.to_natural(g)) for g in (gamma, answers))
    low, high = normal_interval(centre, spread)
    return noise.bounded(low), noise.bounded(high)
