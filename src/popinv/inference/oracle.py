"""The oracles: the law estimated when the noise is known, the noise when the law is known.

An oracle uses the estimator of the study's own answer, from the same data, through the same
simulator. What it leaves is the sampling error of the population for that estimator, which with the
likelihood no other method falls below.
"""

from __future__ import annotations

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
from popinv.inference.surrogate_bias import FreshSolves, corrected

__all__ = ["oracle"]


def oracle(
    problem: Problem,
    estimator: str,
    truth: np.ndarray,
    start: np.ndarray,
    known: Literal["noise", "law"],
    draws: int,
    descent: DescentSettings,
    fresh: FreshSolves | None = None,
) -> Estimate:
    """Estimate the law with the noise known, or the noise with the law known.

    Parameters
    ----------
    problem : Problem
        With the simulator of the study's own answer.
    estimator : {"likelihood", "pseudo_likelihood", "distance"}
    truth : ndarray of shape (n_p,)
        Its known half is held.
    start : ndarray of shape (n_p,)
        Where the unknown half starts.
    known : {"noise", "law"}
    draws : int
        Draws for each system's integral.
    descent : DescentSettings
        Of the distance.
    fresh : FreshSolves, optional
        Solves that tell the surrogate's push; None where the simulator is the solver itself.
    """
    law_known = known == "law"
    held = replace(
        problem, free_law=not law_known, free_noise=law_known, stage=f"oracle/{known}_known"
    )
    of_law = np.arange(len(truth)) < problem.d_alpha
    p = np.where(of_law == law_known, truth, start)
    if estimator == "distance":
        fit = fit_distance(held, descent, [p], description=f"oracle, {known} known")
        scores = None if fit.influence is None else distance_scores(fit.influence)
        found = fit.estimate
    else:
        found = fit_pseudo_likelihood(held, [p], rough=True)
        scores = pseudo_scores(held, found.p)
        if estimator == "likelihood":
            settings = MarginalSettings(draws=draws)
            found = fit_marginal_likelihood(held, found.p, settings, rough=True)
            scores = marginal_scores(held, found.p, settings)
    if fresh is None or scores is None:
        return found
    return corrected(held, found, scores, fresh, "oracle/fresh")
