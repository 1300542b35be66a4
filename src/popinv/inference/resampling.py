"""Confidence intervals by resampling systems.

Each resample draws N systems with replacement and descends again from the estimate. The spread
of the answers is the standard error; the interval is normal in the unconstrained coordinates, so
that a positive quantity has a positive interval.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.stats import norm
from tqdm import tqdm

from popinv.inference.descent import run
from popinv.inference.problem import DescentSettings, Problem, begin
from popinv.seeds import generator

__all__ = ["bootstrap", "normal_interval"]


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
        rows = generator(problem.seed, "bootstrap/rows", b).integers(
            len(problem.data), size=len(problem.data)
        )
        resampled = replace(problem, data=problem.data[rows], stage=f"bootstrap/{b}")
        result = run(begin(alpha, gamma, short), resampled, short, progress=False)
        answers.append(np.concatenate([result.alpha, result.gamma]))
    return np.array(answers).reshape(resamples, len(alpha) + len(gamma))


def normal_interval(
    centre: np.ndarray, answers: np.ndarray, level: float = 0.95
) -> tuple[np.ndarray, np.ndarray]:
    """Return lower and upper ends in the unconstrained coordinates, each (n_p,)."""
    half = norm.ppf(0.5 + level / 2) * answers.std(axis=0, ddof=1)
    return centre - half, centre + half
