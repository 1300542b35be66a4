"""Steps of an ascent with the observed curvature in place of the squares of the scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import scipy.linalg

from popinv.errors import DivergenceError
from popinv.inference.estimate import Estimate
from popinv.inference.likelihood.marginal import Evaluation
from popinv.inference.likelihood.marginal_estimate import (
    Likelihood,
    curvature_at,
    point_of,
    squares_of,
)
from popinv.inference.likelihood.penalty import penalty_at
from popinv.inference.likelihood.profile import Ends, ill_determined, profiles
from popinv.inference.likelihood.scoring import (
    Evaluate,
    Point,
    ScoringState,
    ascend,
    begin,
    promised_gain,
)
from popinv.inference.problem import Problem

__all__ = ["MOST_STEPS", "informed", "newton", "observed_information", "point_at", "profile_ends"]

MOST_STEPS = 30
# How often the curvature is taken anew, and the steps with each.
_NEWTON_ROUNDS, _NEWTON_STEPS = 8, 6
# Gain of the next step, in the log likelihood, with which it has arrived: 0.1 standard errors.
_NEWTON_TOLERANCE = 0.005
# Smallest curvature of a step, relative to the squares of the scores.
_LEAST_CURVATURE = 0.05


def point_at(problem: Problem, likelihood: Likelihood) -> Evaluate:
    """Return the map from p and the memory of a nearby evaluation to the penalised likelihood."""

    def point(p: np.ndarray, memory: Mapping[str, np.ndarray]) -> Point:
        return point_of(problem, p, likelihood(p, memory, None))

    return point


def informed(point: Evaluate, information: np.ndarray) -> Evaluate:
    """Return the likelihood with a given information in place of the squares of the scores."""

    def informed(p: np.ndarray, memory: Mapping[str, np.ndarray]) -> Point:
        return replace(point(p, memory), information=information)

    return informed


def observed_information(problem: Problem, curved: Likelihood, point: Point) -> np.ndarray:
    """Return the observed information at a point, made positive."""
    evaluation = Evaluation(**point.memory)
    squares = squares_of(evaluation)
    penalty = penalty_at(problem, point.p).curvature
    curvature = penalty + curvature_at(problem, curved, point, evaluation, squares)
    return _positive(curvature, squares + penalty, problem.free)


def newton(
    problem: Problem,
    curved: Likelihood,
    state: ScoringState,
    point: Evaluate,
    progress: Callable[[ScoringState], None] | None,
) -> ScoringState:
    """Continue an ascent with the observed curvature in place of the squares of the scores.

    The scores of few systems estimate the curvature badly, and steps with their squares arrive
    late.
    """
    for _ in range(_NEWTON_ROUNDS):
        curvature = observed_information(problem, curved, state.point)
        newton = informed(point, curvature)
        first = replace(begin(replace(state.point, information=curvature)), path=state.path)
        first = replace(first, iteration=state.iteration)
        state = ascend(first, newton, problem, state.iteration + _NEWTON_STEPS, progress)
        promised = promised_gain(state.point, problem.free, problem.logarithmic)
        if state.arrived or promised < _NEWTON_TOLERANCE:
            return replace(state, arrived=True)
    return state


def _positive(curvature: np.ndarray, squares: np.ndarray, free: np.ndarray) -> np.ndarray:
    """Return a curvature whose eigenvalues, relative to the squares of the scores, are positive.

    A negative eigenvalue is replaced by its absolute value: a saddle is left, not approached.
    """
    inner = np.ix_(free, free)
    try:
        values, vectors = scipy.linalg.eigh(curvature[inner], squares[inner])
    except np.linalg.LinAlgError as error:
        raise DivergenceError("the likelihood does not depend on some parameters") from error
    # With squares = B, the vectors V satisfy V^T B V = I, and the curvature is B V diag V^T B.
    own = squares[inner] @ vectors
    positive = curvature.copy()
    positive[inner] = (own * np.maximum(np.abs(values), _LEAST_CURVATURE)) @ own.T
    return positive


def profile_ends(
    problem: Problem,
    likelihood: Likelihood,
    estimate: Estimate,
    memory: Mapping[str, np.ndarray],
) -> Mapping[int, Ends]:
    """Return the ends of the intervals that the standard errors do not describe."""
    if not np.any(ill_determined(problem, estimate)):
        return {}
    point = point_at(problem, likelihood)
    top = ascend(begin(point(estimate.p, memory)), point, problem, MOST_STEPS).point
    return profiles(problem, estimate, top, point)
