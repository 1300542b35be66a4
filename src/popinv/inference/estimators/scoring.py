r"""Maximisation of a log likelihood by damped scoring steps.

With gradient g and information I (a positive matrix near the negative Hessian) a step is

.. math:: \delta = (I + \lambda\, \operatorname{diag} I)^{-1} g,

It is accepted if it raises the likelihood, and otherwise repeated with a larger damping lambda. No
step depends on the units of a parameter. Logarithms of positive quantities move by at most one per
step. The step then solves for the other parameters again (:mod:`popinv.optimisation.bounded`), so
that a variance on its way to zero neither slows nor misleads them.

The squares of few scores, or of a model that does not fit, are not the negative Hessian. The
gradients before and after the last step s show the curvature along it. If this curvature is a
factor f > 1.3 of what I predicts, the steps were too long, and the next step has the information

.. math:: I + (f - 1) \frac{I s s^T I}{s^T I s}.

If f is still below a quarter after ten steps, as through an early surrogate, f = 1/4 replaces it.

The ascent has converged if the predicted gain of the next step, within its bounds, is less than
``TOLERANCE`` in the log likelihood. For a parameter that the data determine, this is about 0.03 of
its standard error.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from popinv.errors import DivergenceError
from popinv.inference.density.division import collected, total
from popinv.inference.density.problem import Problem
from popinv.inference.estimators.estimate import sizes
from popinv.optimisation.bounded import bounded_step

TOLERANCE = 5e-4
_FIRST_DAMPING, _LESS, _MORE, _LEAST, _MOST = 1e-3, 0.1, 10.0, 1e-6, 1e10
_LONGEST = 1.0
_SINGULAR = 1e-6
# Damping of the step whose gain is predicted.
_DAMPED = 1e-3
# Information, per square of a parameter's natural size, that is added for a step. It matters only
# along directions that the data do not determine.
_RIDGE = 1e-4
# Information along a direction, per square of its natural size, below which both sides are tried;
# how many such directions, and how far.
_FLAT_INFORMATION, _MOST_FLAT, _OFF = 0.05, 3, 0.7
# Steps from there.
_FOLLOWING = 8
# A slope along them must exceed this many errors of the draws.
_SURE = 3.0
# The ascent leaves a saddle for at least this gain in the log likelihood.
_WORTH_IT = 0.05
_OF_POINT = ("p", "value", "gradient", "information", "error")
# Share of the predicted change of the gradient along a step below which the information is lowered
# to that share, and the steps after which this is done.
_LEAST_CURVATURE, _PATIENCE = 0.25, 10
# The share above which the information is raised, and the largest factor.
_MOST_CURVATURE, _LARGEST = 1.3, 10.0


@dataclass(frozen=True)
class Point:
    """The likelihood at p (n_p,): its value, gradient (n_p,) and information (n_p, n_p).

    ``error`` is the standard error of the value if draws estimate it, and ``memory`` holds arrays
    from which the evaluation of nearby points starts.
    """

    p: np.ndarray
    value: float
    gradient: np.ndarray
    information: np.ndarray
    error: float = 0.0
    memory: Mapping[str, np.ndarray] = field(default_factory=dict)


Evaluate = Callable[[np.ndarray, Mapping[str, np.ndarray]], Point]


@dataclass(frozen=True)
class ScoringState:
    """The complete state of an ascent, from which it can continue.

    Attributes
    ----------
    iteration : int
        Number of steps tried.
    arrived : bool
        Whether the ascent has converged.
    path : ndarray of shape (k, n_p)
        The accepted points, starting with the start.
    secant : ndarray of shape (2, n_p), optional
        The last accepted step, and how much the gradient has decreased along it.
    context : mapping of str to array
        The quantities besides p on which the likelihood depends; an interrupted ascent rebuilds the
        likelihood from them.
    """

    iteration: int
    point: Point
    damping: float
    arrived: bool
    path: np.ndarray
    secant: np.ndarray | None = None
    context: Mapping[str, np.ndarray] = field(default_factory=dict)


def begin(point: Point) -> ScoringState:
    """Return the state before the first step.

    Raises
    ------
    DivergenceError
        If the likelihood or a derivative is not finite there.
    """
    if not _finite(point):
        raise DivergenceError(f"the likelihood is not finite at {point.p}")
    return ScoringState(0, point, _FIRST_DAMPING, False, point.p[None])


def off_saddle(
    problem: Problem, point: Point, evaluate: Evaluate, curvature: np.ndarray | None = None
) -> Point:
    """Return a better point nearby, if the likelihood does not depend on p in some direction.

    If a model is the same for z and -z, a mean of zero is a saddle at which the gradient vanishes,
    and no ascent leaves it. The function tries both sides of each direction without curvature.

    Parameters
    ----------
    evaluate : callable
        As in :func:`step`.
    curvature : ndarray of shape (n_p, n_p), optional
        The negative Hessian of the log likelihood, by default the point's information. It may have
        negative eigenvalues.
    """
    free = np.flatnonzero(problem.free)
    size = problem.scale[free]
    curvature = point.information if curvature is None else curvature
    values, vectors = np.linalg.eigh(curvature[np.ix_(free, free)] * np.outer(size, size))
    best = point
    for direction in vectors.T[values < _FLAT_INFORMATION][:_MOST_FLAT]:
        for side in (1.0, -1.0):
            there = point.p.copy()
            there[free] += side * _OFF * size * direction
            try:
                tried = evaluate(there, point.memory)
            except DivergenceError:
                continue
            if not _finite(tried):
                continue
            # Gains that further steps from the best point would bring anyway do not count.
            worth = _reach(best, problem) + max(_WORTH_IT, tried.error)
            # Beside a saddle, the likelihood rises only after the other entries have followed.
            if tried.value <= worth < _reach(tried, problem):
                tried = ascend(begin(tried), evaluate, problem, _FOLLOWING).point
            if tried.value > worth:
                best = tried
    return best


def _reach(point: Point, problem: Problem) -> float:
    """Return the predicted value after the next step."""
    return point.value + promised_gain(point, problem)


def _finite(point: Point) -> bool:
    """Return whether value, derivatives and their products are finite."""
    with np.errstate(over="ignore"):
        squares = np.square(point.information)
    return bool(
        np.isfinite(point.value)
        and np.all(np.isfinite(point.gradient))
        and np.all(np.isfinite(squares))
    )


def _corrected(state: ScoringState, free: np.ndarray) -> Point:
    """Return the point of a state, with the curvature that its last step has shown."""
    point = state.point
    if state.secant is None:
        return point
    inner = np.ix_(free, free)
    change, fallen = state.secant[:, free]
    predicted = point.information[inner] @ change
    along = change @ predicted
    seen = change @ fallen / along if along > 0 else 1.0
    if 0 < seen < _LEAST_CURVATURE and len(state.path) > _PATIENCE:
        factor = _LEAST_CURVATURE
    elif seen > _MOST_CURVATURE:
        factor = min(seen, _LARGEST)
    else:
        return point
    corrected = point.information.copy()
    corrected[inner] += (factor - 1) * np.outer(predicted, predicted) / along
    return replace(point, information=corrected)


def _direction(point: Point, problem: Problem, damping: float) -> np.ndarray:
    """Return the step (n_p,), limited in length for entries without unit, such as logarithms."""
    change, free = np.zeros(len(point.p)), problem.free
    information, gradient = point.information[np.ix_(free, free)], _known_slope(point, problem)
    size = sizes(information)
    scaled = information / np.outer(size, size)
    # A direction without information stays unchanged.
    values, vectors = np.linalg.eigh(scaled)
    nothing = vectors[:, np.abs(values) < _SINGULAR]
    scaled = scaled + nothing @ nothing.T + damping * np.eye(len(size))
    scaled += np.diag(_RIDGE / (problem.scale[free] * size) ** 2)
    longest = np.where(problem.logarithmic[free], _LONGEST * size, np.inf)
    change[free] = bounded_step(scaled, gradient / size, longest) / size
    return change


def _known_slope(point: Point, problem: Problem) -> np.ndarray:
    """Return the gradient of the free entries, without what the error of the draws explains.

    Along a direction that the data do not determine, the slope is only error, and the ascent would
    never end.
    """
    free, scale = problem.free, problem.scale[problem.free]
    gradient = point.gradient[free]
    if "score_error" not in point.memory:
        return gradient
    values, vectors = np.linalg.eigh(point.information[np.ix_(free, free)] * np.outer(scale, scale))

    def squares(error: np.ndarray) -> np.ndarray:
        return np.asarray((((error[:, free] * scale) @ vectors) ** 2).sum(axis=0))

    # The error of the scores adds to the information, too.
    error = total(problem, squares, point.memory["score_error"])
    slopes = (gradient * scale) @ vectors
    nothing = (np.abs(slopes) < _SURE * np.sqrt(error)) & (values < _FLAT_INFORMATION + 2 * error)
    return gradient - (vectors[:, nothing] @ slopes[nothing]) / scale


def limited_step(point: Point, problem: Problem) -> np.ndarray:
    """Return the undamped step (n_p,) from a point."""
    return _direction(point, problem, 0.0)


def promised_gain(point: Point, problem: Problem) -> float:
    """Return the predicted gain of a step from a point, damped where nothing is determined.

    Along a direction that the data do not determine, the error of the draws would promise a gain at
    every point.
    """
    change = _direction(point, problem, _DAMPED)
    return float(point.gradient @ change - 0.5 * change @ point.information @ change)


def step(
    state: ScoringState, evaluate: Evaluate, problem: Problem, tolerance: float = TOLERANCE
) -> ScoringState:
    """Try one step.

    Parameters
    ----------
    evaluate : callable
        Maps p and a memory to a :class:`Point`; raises DivergenceError if it does not exist.
    problem : Problem
        Says which entries move, which are logarithms and such, and how large a change is.
    tolerance : float
        Predicted gain below which the ascent has converged.
    """
    old = _corrected(state, problem.free)
    gain = promised_gain(old, problem)
    if gain < tolerance:
        return replace(state, arrived=True)
    change = _direction(old, problem, state.damping)
    state = replace(state, iteration=state.iteration + 1)
    failed = replace(state, damping=state.damping * _MORE, arrived=state.damping > _MOST)
    try:
        new = evaluate(old.p + change, old.memory)
    except DivergenceError:
        return failed
    if not _finite(new):
        return failed
    better = new.value > old.value
    if not better and new.value > old.value - new.error:
        # Value and gradient are estimated separately. If the values do not differ significantly,
        # the step is accepted if less gain is left at the new point.
        along = (old.gradient + new.gradient) @ change > 0
        better = along and promised_gain(new, problem) < gain
    if not better:
        return failed
    return replace(
        state,
        point=new,
        damping=max(state.damping * _LESS, _LEAST),
        path=np.concatenate([state.path, new.p[None]]),
        secant=np.stack([change, old.gradient - new.gradient]),
    )


def ascend(
    state: ScoringState,
    evaluate: Evaluate,
    problem: Problem,
    most: int,
    progress: Callable[[ScoringState], None] | None = None,
    tolerance: float = TOLERANCE,
) -> ScoringState:
    """Take steps until the ascent has converged, or ``most`` steps have been tried.

    Parameters
    ----------
    state : ScoringState
        From :func:`begin`, or from an interrupted ascent.
    evaluate : callable
        As in :func:`step`.
    progress : callable, optional
        A function that receives the state after every step.
    tolerance : float
        As in :func:`step`.
    """
    while not state.arrived and state.iteration < most:
        state = step(state, evaluate, problem, tolerance)
        if progress is not None:
            progress(state)
    return state


def state_arrays(problem: Problem, state: ScoringState) -> dict[str, np.ndarray]:
    """Return a state as arrays, for a checkpoint; the first rank returns all systems' arrays."""
    arrays = {
        "iteration": np.array(state.iteration),
        "damping": np.array(state.damping),
        "arrived": np.array(state.arrived, dtype=np.int64),
        "path": state.path,
    }
    if state.secant is not None:
        arrays["secant"] = state.secant
    for name in _OF_POINT:
        arrays[f"point.{name}"] = np.asarray(getattr(state.point, name))
    for name, array in state.point.memory.items():
        arrays[f"memory.{name}"] = collected(problem, array)
    return arrays | {f"context.{name}": array for name, array in state.context.items()}


def state_of(problem: Problem, arrays: Mapping[str, np.ndarray]) -> ScoringState:
    """Return the state from the arrays of :func:`state_arrays`, with the own systems' memory."""
    values = {name: np.array(arrays[f"point.{name}"]) for name in _OF_POINT}
    memory, context = (
        {
            name.removeprefix(prefix): np.array(array)
            for name, array in arrays.items()
            if name.startswith(prefix)
        }
        for prefix in ("memory.", "context.")
    )
    if problem.part is not None:
        memory = {name: array[problem.numbers] for name, array in memory.items()}
    point = Point(
        values["p"],
        float(values["value"]),
        values["gradient"],
        values["information"],
        float(values["error"]),
        memory,
    )
    return ScoringState(
        int(arrays["iteration"]),
        point,
        float(arrays["damping"]),
        bool(arrays["arrived"]),
        np.array(arrays["path"]),
        np.array(arrays["secant"]) if "secant" in arrays else None,
        context,
    )
