"""Scores of given observations at an estimate, by estimator."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from popinv.inference.answer.result import estimate_of
from popinv.inference.density.member_blocks import in_blocks, of_groups
from popinv.inference.density.problem import Problem
from popinv.inference.estimators.settings import FEWEST_GROUPS
from popinv.inference.integrate import pseudo
from popinv.inference.integrate.marginal import MarginalSettings
from popinv.inference.integrate.marginal_near import likelihood_near
from popinv.inference.integrate.model_moments import (
    FEWEST_DRAWS,
    Moments,
    draws_for,
    matched_draws,
    moments_of_systems,
)
from popinv.inference.uncertainty.surrogate_bias import (
    FreshSolves,
    PosteriorSolves,
    ScoreDifference,
    Scores,
)
from popinv.surrogate.simulator import UncertainSurrogate

if TYPE_CHECKING:
    from popinv.inference.uncertainty.distance_influence import DistanceInfluence

# Pairs of noises for each solve, and the most solves that are each observed this many times.
_PAIRS, _MOST_SOLVES = 4, 4000


def pseudo_scores(problem: Problem, p: np.ndarray, draws: int | None = None) -> Scores:
    """Return the scores of the pseudo-likelihood at p, by default with all draws.

    Observed systems may have known quantities that none of the problem's systems has.
    """
    alpha, gamma = problem.tensors(p)
    problem, blocks = in_blocks(problem)
    # Each group has as many draws as the problem's groups, but draws of its own.
    count = draws_for(len(problem.data)) if draws is None else draws
    groups = len(problem.conditions.groups[0])

    def moments_of(systems: Problem) -> Moments:
        own = replace(systems, stage=problem.stage)
        return moments_of_systems(own, alpha, gamma, matched_draws(own, count, groups))

    moments = moments_of(problem)

    def scores(observed: Problem) -> np.ndarray:
        nonlocal moments
        observed, _ = in_blocks(observed)
        if not set(observed.conditions.groups[0]) <= set(moments.keys):
            # The same systems are observed many times, with other noise.
            moments = moments_of(observed)
        return of_groups(pseudo.evaluate(observed, moments).scores, blocks)

    return scores


def marginal_scores(problem: Problem, p: np.ndarray, settings: MarginalSettings) -> Scores:
    """Return the scores of the marginal likelihood at p."""
    stage = f"{problem.stage}/fresh"
    return lambda observed: likelihood_near(replace(observed, stage=stage), p, settings).here.scores


def distance_scores(influence: DistanceInfluence) -> Scores:
    """Return the scores that correspond to the influence function of the distance."""
    return lambda observed: influence.of_rows(observed.data) @ influence.matrix


def surrogate_push(problem: Problem, estimate: xr.Dataset) -> Callable[[xr.Dataset], float]:
    """Return a function from fresh solves to the shift that the surrogate's error causes.

    The shift is in standard errors of the round's estimate, the largest of all parameters. It is
    NaN if the solves are members of few whole groups, and the surrogate does not know its error.

    Parameters
    ----------
    problem : Problem
        The problem with the surrogate that is judged.
    estimate : Dataset
        The pseudo-likelihood's estimate through that surrogate.
    """
    p, bread = estimate_of(estimate), estimate["bread"].values
    errors = np.sqrt(np.diag(estimate["covariance"].values))

    def push(solves: xr.Dataset) -> float:
        fresh, surrogate = FreshSolves.of(solves, _MOST_SOLVES), problem.surrogate
        # The same number of draws as in the estimate.
        scores = pseudo_scores(problem, p, FEWEST_DRAWS)
        compared = ScoreDifference(problem, p, scores, "fresh", _PAIRS)
        if problem.members == 1 or len(fresh.in_groups(problem).z) >= FEWEST_GROUPS:
            moved = len(problem.data) * fresh.pushes(compared).mean(axis=0) @ bread
        elif isinstance(surrogate, UncertainSurrogate):
            # Members that a surrogate has chosen are no whole groups, but it knows its own error.
            each = PosteriorSolves.given(surrogate, fresh).pushes(compared)
            moved = len(problem.data) * np.sqrt(np.mean((each @ bread) ** 2, axis=0))
        else:
            return np.nan
        known = errors > 0
        return float(np.max(np.abs(moved[known]) / errors[known], initial=0.0))

    return push
