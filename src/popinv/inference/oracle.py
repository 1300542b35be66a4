"""The oracles: the law estimated when the noise is known, the noise when the law is known.

An oracle uses the estimator of the study's own answer, from the same data. It goes through the
surrogate, whose push is taken off; where that does too much and the study's answer went through the
solver, so does the oracle. What it leaves is the sampling error of the population for that
estimator, which with the likelihood no other method falls below.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import numpy as np

from popinv.inference.estimate import Estimate
from popinv.inference.fit_distance import fit_distance
from popinv.inference.likelihood.fit_marginal import fit_marginal_likelihood
from popinv.inference.likelihood.fit_pseudo import fit_pseudo_likelihood
from popinv.inference.likelihood.marginal import MarginalSettings
from popinv.inference.likelihood.scores import distance_scores, marginal_scores, pseudo_scores
from popinv.inference.problem import DescentSettings, Problem
from popinv.inference.solver import SolverSimulator
from popinv.inference.surrogate_bias import FreshSolves, corrected

__all__ = ["oracle"]

_FRESH = "oracle/fresh"


def oracle(
    problem: Problem,
    estimator: str,
    truth: np.ndarray,
    start: np.ndarray,
    known: Literal["noise", "law"],
    draws: int,
    descent: DescentSettings,
    fresh: FreshSolves | None = None,
    solver: Callable[[], SolverSimulator] | None = None,
) -> Estimate:
    """Estimate the law with the noise known, or the noise with the law known.

    Parameters
    ----------
    problem : Problem
        With the surrogate.
    estimator : {"likelihood", "pseudo_likelihood", "distance"}
    truth : ndarray of shape (n_p,)
        Its known half is held.
    start : ndarray of shape (n_p,)
        Where the unknown half starts: the study's own answer.
    known : {"noise", "law"}
    draws : int
        Draws for each system's integral.
    descent : DescentSettings
        Of the distance.
    fresh : FreshSolves, optional
        Solves that tell the surrogate's push; None where the simulator has no such error.
    solver : callable, optional
        Makes the solver, for a study whose answer went through it.
    """
    law_known = known == "law"
    held = replace(
        problem, free_law=not law_known, free_noise=law_known, stage=f"oracle/{known}_known"
    )
    of_law = np.arange(len(truth)) < problem.d_alpha
    p = np.where(of_law == law_known, truth, start)
    if estimator == "distance":
        fit = fit_distance(held, descent, [p], description=f"oracle, {known} known")
        if fit.influence is None or fresh is None:
            return fit.estimate
        return corrected(held, fit.estimate, distance_scores(fit.influence), fresh, _FRESH)
    settings = MarginalSettings(draws=draws)
    found = _maximum(held, estimator, p, settings)
    if fresh is None:
        return found
    if estimator == "likelihood":
        scores = marginal_scores(held, found.p, settings)
    else:
        scores = pseudo_scores(held, found.p)
    without = corrected(held, found, scores, fresh, _FRESH)
    if solver is None or (without.passes and _small(without)):
        return without
    simulator = solver()
    with simulator.session():
        return _maximum(replace(held, simulate=simulator), estimator, p, settings)


def _maximum(
    problem: Problem, estimator: str, p: np.ndarray, settings: MarginalSettings
) -> Estimate:
    if estimator == "likelihood":
        return fit_marginal_likelihood(problem, p, settings, rough=True)
    return fit_pseudo_likelihood(problem, [p], rough=True)


def _small(estimate: Estimate) -> bool:
    """Whether the surrogate's error has moved an estimate by less than a standard error."""
    if estimate.correction is None:
        return True
    errors = np.sqrt(np.diag(estimate.covariance))
    return bool(np.all(np.abs(estimate.correction) <= errors))
