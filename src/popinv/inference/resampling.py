r"""Bootstrap estimates from resampled systems.

Each resample draws N systems with replacement and estimates again from the answer, with the same
random numbers. One further estimate uses the systems as they are. Its change is not due to sampling
(but to the descent's own noise, or to the correction for the surrogate's error), and is subtracted
from the others.

A stated prior is an observation that is not resampled. Each resample instead moves its score. The
log density gets the term :math:`\varepsilon^T (p - \hat p)` with :math:`\varepsilon \sim N(0, P)`
and the curvature P of the prior at the estimate. The resamples of the mode then have the covariance
:math:`(A + P)^{-1} (B + P) (A + P)^{-1}` to first order, as the intervals by a covariance have.

Descents are short, with few but long steps: after six Gauss-Newton steps of length one half, two
per cent of the distance remain.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Protocol

import numpy as np

from popinv.inference.covariance_step import moves_full_covariance
from popinv.inference.descent import run
from popinv.inference.likelihood.fit_marginal import maximum_likelihood
from popinv.inference.likelihood.fit_pseudo import fit_pseudo_likelihood
from popinv.inference.likelihood.marginal import MarginalSettings
from popinv.inference.problem import Problem, begin
from popinv.inference.settings import CurvatureSettings, DescentSettings
from popinv.population.priors.prior import StatedPrior, TiltedPrior, square_root
from popinv.seeds import generator
from popinv.workers import parallel

_OF_FEW_PARAMETERS: dict[str, Any] = {
    "optimiser": "gauss_newton",
    "learning_rate": 0.5,
    "final_learning_rate": 0.5,
    "iterations": 12,
    "batch_size": None,
}
# The matrix serves many steps, so it has more draws; too few draws make its curvature too large.
_CURVATURE_ROWS = 2000
# A step moves few entries of an unrestricted covariance, so that many steps are needed. The noise
# of these steps is part of the answer's noise, so each resample has its own draws.
_OF_FULL_COVARIANCE: dict[str, Any] = {"iterations": 80}


def bootstrap(
    problem: Problem,
    estimator: str,
    p: np.ndarray,
    resamples: int,
    settings: DescentSettings,
    draws: int = MarginalSettings.draws,
    progress: bool = True,
) -> np.ndarray:
    """Return the parameters estimated from each resample.

    Parameters
    ----------
    estimator : {"likelihood", "pseudo_likelihood", "distance"}
    p : ndarray of shape (n_p,)
        The estimate.
    settings : DescentSettings
        Settings of the distance. Optimiser, rates and number of steps are the resamples' own.
    draws : int
        Number of draws for each system's integral in the likelihood.
    progress : bool
        Whether to show a bar on standard error, if that is a terminal.

    Returns
    -------
    ndarray of shape (resamples, n_p)
    """
    again, prior = again_from(problem, estimator, p, settings, draws), problem.prior.stated
    root = square_root(prior.curvature(p)) if prior else None

    def resampled(b: int) -> np.ndarray:
        rng = generator(problem.seed, f"{problem.stage}/rows", b)
        rows = rng.integers(len(problem.data), size=len(problem.data))
        drawn = problem.of_systems(rows)
        if root is not None:
            score = TiltedPrior(p, root @ rng.standard_normal(len(p)))
            parts = (*problem.stated_prior.parts, score)
            drawn = replace(drawn, stated_prior=StatedPrior(parts, problem.stated_prior.words))
        return again(drawn, b) - again.moved

    delay = 0 if progress else np.inf
    answers = list(parallel(resampled, range(resamples), "resamples", unit="fit", delay=delay))
    return np.array(answers).reshape(resamples, len(p))


class Again(Protocol):
    """Estimator of a problem's systems; ``moved`` (n_p,) is its change without resampling."""

    moved: np.ndarray

    def __call__(self, resampled: Problem, index: int) -> np.ndarray:
        """Return the estimate (n_p,) of one resample, given its number."""


def again_from(
    problem: Problem,
    estimator: str,
    p: np.ndarray,
    settings: DescentSettings,
    draws: int = MarginalSettings.draws,
) -> Again:
    """Return the function that estimates again from other systems, starting at the estimate p.

    The arguments are as in :func:`bootstrap`.
    """
    if estimator == "distance":
        return _Descents(problem, settings, p)
    return _Maxima(problem, estimator, p, draws)


class _Maxima:
    """Maxima of one of the likelihoods, started at the estimate."""

    def __init__(self, problem: Problem, estimator: str, p: np.ndarray, draws: int) -> None:
        self.estimator, self.p, self.settings = estimator, p, MarginalSettings(draws=draws)
        self.moved = self(problem, 0) - p

    def __call__(self, resampled: Problem, index: int) -> np.ndarray:
        """Return the maximum for resampled systems."""
        if self.estimator == "pseudo_likelihood":
            return fit_pseudo_likelihood(resampled, [self.p]).p
        return maximum_likelihood(resampled, self.p, self.settings)[0]


class _Descents:
    """Short descents, started at the estimate."""

    def __init__(self, problem: Problem, settings: DescentSettings, p: np.ndarray) -> None:
        self.full = moves_full_covariance(problem, settings)
        own = _OF_FULL_COVARIANCE if self.full else _OF_FEW_PARAMETERS
        self.settings = settings.replace(averaging=0.5, **own)
        self.curvature = CurvatureSettings()
        self.start = begin(*problem.split(p), self.settings)
        self.moved = np.zeros(len(p))
        if not self.full:
            first = CurvatureSettings(rows=_CURVATURE_ROWS)
            as_it_is = run(
                self.start, problem, self.settings, progress=False, curvature_settings=first
            )
            self.moved = np.concatenate([as_it_is.alpha, as_it_is.gamma]) - p
            self.curvature = CurvatureSettings(every=0, rows=_CURVATURE_ROWS)
            self.start = begin(*problem.split(p), self.settings, as_it_is.state.curvature)

    def __call__(self, resampled: Problem, index: int) -> np.ndarray:
        """Return the estimate from resampled systems."""
        if self.full:
            resampled = replace(resampled, stage=f"{resampled.stage}/{index}")
        result = run(
            self.start,
            resampled,
            self.settings,
            progress=False,
            curvature_settings=self.curvature,
        )
        return np.concatenate([result.alpha, result.gamma])
