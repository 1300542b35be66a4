"""Steps of an ascent with the observed curvature in place of the squares of the scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from popinv.inference.density.problem import Problem
from popinv.inference.estimators.estimate import sizes
from popinv.inference.estimators.marginal_estimate import (
    Likelihood,
    curvature_at,
    point_of,
    squares_of,
)
from popinv.inference.estimators.scoring import (
    Evaluate,
    Point,
    ScoringState,
    ascend,
    begin,
    promised_gain,
)
from popinv.inference.integrate.marginal import Evaluation
from popinv.inference.integrate.penalty import penalty_at
from popinv.inference.uncertainty.standard_errors import has_robust_errors

MOST_STEPS = 30
# How often the curvature is computed again, and the number of steps with each curvature.
_NEWTON_ROUNDS, _NEWTON_STEPS = 8, 6
# Predicted gain of the next step, in the log likelihood, at convergence: 0.1 standard errors.
_NEWTON_TOLERANCE = 0.005
# Smallest curvature of a step, relative to the squares of the scores.
_LEAST_CURVATURE = 0.05
# Eigenvalue of the squares with diagonal 1 that counts as zero, as a share of the largest; and the
# curvature in its direction that exceeds the error of the draws.
_NOTHING, _LEAST_OWN = 1e-7, 1e-3


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


def observed_information(
    problem: Problem, curved: Likelihood, point: Point
) -> tuple[np.ndarray, np.ndarray]:
    """Return the observed information at a point, made positive, and the curvature in it."""
    evaluation = Evaluation(**point.memory)
    squares = squares_of(problem, evaluation)
    penalty = penalty_at(problem, point.p)
    curvature = curvature_at(problem, curved, point, evaluation, squares)
    if not has_robust_errors(problem):
        squares = np.diag(np.abs(np.diag(curvature)))
    known = _positive(penalty.observed + curvature, squares + penalty.curvature, problem.free)
    return known, curvature


def newton(
    problem: Problem,
    curved: Likelihood,
    state: ScoringState,
    point: Evaluate,
    progress: Callable[[ScoringState], None] | None,
) -> ScoringState:
    """Continue an ascent with the observed curvature in place of the squares of the scores.

    The scores of few systems estimate the curvature badly, and steps with their squares converge
    slowly.
    """
    for _ in range(_NEWTON_ROUNDS):
        curvature, _ = observed_information(problem, curved, state.point)
        newton = informed(point, curvature)
        first = begin(replace(state.point, information=curvature))
        first = replace(first, path=state.path, iteration=state.iteration, context=state.context)
        state = ascend(first, newton, problem, state.iteration + _NEWTON_STEPS, progress)
        promised = promised_gain(state.point, problem)
        if state.arrived or promised < _NEWTON_TOLERANCE:
            return replace(state, arrived=True)
    return state


def _positive(curvature: np.ndarray, squares: np.ndarray, free: np.ndarray) -> np.ndarray:
    """Return a curvature whose eigenvalues, relative to the squares of the scores, are positive.

    A negative eigenvalue is replaced by its absolute value, so that the ascent leaves a saddle. A
    direction that neither matrix determines stays unchanged.
    """
    inner = np.ix_(free, free)
    size = sizes(squares[inner])
    scaled = curvature[inner] / np.outer(size, size)
    values, vectors = np.linalg.eigh(squares[inner] / np.outer(size, size))
    known = values > _NOTHING * values[-1]
    # In coordinates in which the squares are the identity, where they are not zero.
    root = vectors[:, known] * np.sqrt(values[known])
    back = vectors[:, known] / np.sqrt(values[known])
    relative, turned = np.linalg.eigh(back.T @ scaled @ back)
    own = root @ turned
    found = (own * np.maximum(np.abs(relative), _LEAST_CURVATURE)) @ own.T
    rest = vectors[:, ~known]
    along = np.abs(np.einsum("ik,ij,jk->k", rest, scaled, rest))
    found += (rest * np.where(along > _LEAST_OWN, along, 1.0)) @ rest.T
    positive = curvature.copy()
    positive[inner] = found * np.outer(size, size)
    return positive
