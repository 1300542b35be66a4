"""Estimate law and noise of a problem by the estimator that a study requests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from popinv.inference.density.problem import Problem
from popinv.inference.density.solver import SolverSimulator
from popinv.inference.estimators.choice import ESTIMATORS
from popinv.inference.estimators.estimate import Estimate
from popinv.inference.estimators.fit_distance import fit_distance
from popinv.inference.estimators.polish import polish
from popinv.inference.estimators.settings import (
    DescentSettings,
    Estimator,
    PolishSettings,
    wants_likelihood,
)
from popinv.inference.uncertainty.scores import distance_scores
from popinv.inference.uncertainty.surrogate_bias import FreshSolves, corrected


@dataclass(frozen=True)
class NamedEstimate:
    """An estimate and the name of its estimator."""

    estimator: str
    estimate: Estimate


def estimate_population(
    problem: Problem,
    wanted: Estimator,
    settings: PolishSettings,
    descent: DescentSettings,
    starts: Sequence[np.ndarray],
    fresh: FreshSolves,
    solver: SolverSimulator | None = None,
    seconds_per_solve: float = np.inf,
) -> NamedEstimate:
    """Return the chosen estimate, whose log likelihood is the approximate value of the ascent.

    Parameters
    ----------
    problem : Problem
        With the surrogate.
    wanted : {"auto", "likelihood", "pseudo_likelihood", "distance"}
    descent : DescentSettings
        Settings of the distance.
    starts : sequence of ndarray of shape (n_p,)
    fresh, solver, seconds_per_solve
        As in :func:`popinv.inference.estimators.polish.polish`.

    Raises
    ------
    DivergenceError
        If no estimator finishes.
    """
    if wanted != "distance":
        polished = polish(
            problem,
            settings,
            starts,
            fresh,
            solver,
            seconds_per_solve,
            say=lambda text: None,
            likelihood=wants_likelihood(wanted),
            new_value=False,
        )
        estimates = {
            "likelihood": polished.likelihood,
            "pseudo_likelihood": polished.pseudo_likelihood,
        }
        for name in ESTIMATORS:
            estimate = estimates.get(name)
            if estimate is not None and (name == wanted or (wanted == "auto" and estimate.passes)):
                return NamedEstimate(name, estimate)
        starts = [polished.pseudo_likelihood.p]
    fit = fit_distance(problem, descent, starts, progress=False)
    estimate = fit.estimate
    if fit.influence is not None:
        scores = distance_scores(fit.influence)
        estimate = corrected(problem, estimate, scores, fresh, "descent/fresh", pairs=4)
    return NamedEstimate("distance", estimate)
