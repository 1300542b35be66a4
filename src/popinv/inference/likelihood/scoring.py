r"""Maximisation of a log likelihood by damped scoring steps.

With gradient g and information I (a positive matrix near the negative Hessian) a step is

.. math:: \delta = (I + \lambda\, \operatorname{diag} I)^{-1} g,

It is accepted if it raises the likelihood, and otherwise repeated with a larger damping lambda. No
step depends on the units of a parameter. Logarithms of positive quantities move by at most one per
step, each on its own, so that one on its way to zero does not slow the others.

Where the model does not fit, as through an early surrogate, I can be much larger than the negative
Hessian, and steps are too short again and again. If, after ten steps, the gradient has changed
along the last step s by less than a quarter of what I predicts, the next step has a quarter of the
information along it,

.. math:: I - \frac{3}{4} \frac{I s s^T I}{s^T I s}.

The ascent has arrived if the predicted gain of the next step, within its bounds, is less than
``TOLERANCE`` in the log likelihood. For a parameter that the data determine, this is about 0.03 of
its standard error.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from popinv.errors import DivergenceError
from popinv.inference.estimate import sizes
from popinv.inference.problem import Problem

__all__ = [
    "Point",
    "ScoringState",
    "ascend",
    "begin",
    "limited_step",
    "promised_gain",
    "state_arrays",
    "state_of",
    "step",
]

TOLERANCE = 5e-4
_FIRST_DAMPING, _LESS, _MORE, _LEAST, _MOST = 1e-3, 0.1, 10.0, 1e-6, 1e10
_LONGEST = 1.0
_SINGULAR = 1e-12
_OF_POINT = ("p", "value", "gradient", "information", "error")
# Share of the predicted change of the gradient along a step below which the information is lowered
# to that share, and the steps after which this is done.
_LEAST_CURVATURE, _PATIENCE = 0.25, 10


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
    point : Point
    damping : float
    arrived : bool
        Whether no further step is worth taking.
    path : ndarray of shape (k, n_p)
        The accepted points, starting with the start.
    secant : ndarray of shape (2, n_p), optional
        The last accepted step, and how much the gradient has decreased along it.
    """

    iteration: int
    point: Point
    damping: float
    arrived: bool
    path: np.ndarray
    secant: np.ndarray | None = None


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


def _finite(point: Point) -> bool:
    return bool(
        np.isfinite(point.value)
        and np.all(np.isfinite(point.gradient))
        and np.all(np.isfinite(point.information))
    )


def _lowered(state: ScoringState, free: np.ndarray) -> Point:
    """Return the point of a state, with less information along a last step that was too short."""
    point = state.point
    if state.secant is None or len(state.path) <= _PATIENCE:
        return point
    inner = np.ix_(free, free)
    change, fallen = state.secant[:, free]
    predicted = point.information[inner] @ change
    along = change @ predicted
    if not 0 < change @ fallen < _LEAST_CURVATURE * along:
        return point
    lowered = point.information.copy()
    lowered[inner] -= (1 - _LEAST_CURVATURE) * np.outer(predicted, predicted) / along
    return replace(point, information=lowered)


def _direction(point: Point, free: np.ndarray, bounded: np.ndarray, damping: float) -> np.ndarray:
    """Return the step (n_p,), with the entries of ``bounded`` limited in length."""
    change = np.zeros(len(point.p))
    information, gradient = point.information[np.ix_(free, free)], point.gradient[free]
    size = sizes(information)
    # Parameters without information leave the matrix singular.
    scaled = information / np.outer(size, size) + (damping + _SINGULAR) * np.eye(len(size))
    change[free] = np.linalg.solve(scaled, gradient / size) / size
    change[bounded] = np.clip(change[bounded], -_LONGEST, _LONGEST)
    return change


def limited_step(point: Point, free: np.ndarray, bounded: np.ndarray) -> np.ndarray:
    """Return the undamped step (n_p,) from a point; the arguments are as for :func:`step`."""
    return _direction(point, free, bounded, 0.0)


def promised_gain(point: Point, free: np.ndarray, bounded: np.ndarray) -> float:
    """Return the predicted gain of an undamped step from a point."""
    change = _direction(point, free, bounded, 0.0)
    linear = point.gradient @ change
    # With limited entries the quadratic model may predict a loss. The gradient still gives the
    # size.
    return float(max(linear - 0.5 * change @ point.information @ change, 0.5 * abs(linear)))


def step(
    state: ScoringState, evaluate: Evaluate, free: np.ndarray, bounded: np.ndarray
) -> ScoringState:
    """Try one step.

    Parameters
    ----------
    state : ScoringState
    evaluate : callable
        Maps p and a memory to a :class:`Point`; raises DivergenceError if it does not exist.
    free, bounded : ndarray of bool, shape (n_p,)
        Whether each entry moves, and whether it moves by at most one per step.
    """
    old = _lowered(state, free)
    gain = promised_gain(old, free, bounded)
    if gain < TOLERANCE:
        return replace(state, arrived=True)
    change = _direction(old, free, bounded, state.damping)
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
        better = along and promised_gain(new, free, bounded) < gain
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
) -> ScoringState:
    """Take steps until the ascent has arrived, or ``most`` steps have been tried.

    Parameters
    ----------
    state : ScoringState
        From :func:`begin`, or from an interrupted ascent.
    evaluate : callable
        As in :func:`step`.
    problem : Problem
    most : int
    progress : callable, optional
        A function that receives the state after every step.
    """
    free, bounded = problem.free, problem.logarithmic
    while not state.arrived and state.iteration < most:
        state = step(state, evaluate, free, bounded)
        if progress is not None:
            progress(state)
    return state


def state_arrays(state: ScoringState) -> dict[str, np.ndarray]:
    """Return a state as arrays, for a checkpoint."""
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
    return arrays | {f"memory.{name}": array for name, array in state.point.memory.items()}


def state_of(arrays: Mapping[str, np.ndarray]) -> ScoringState:
    """Return the state from the arrays of :func:`state_arrays`."""
    values = {name: np.array(arrays[f"point.{name}"]) for name in _OF_POINT}
    memory = {
        name.removeprefix("memory."): np.array(array)
        for name, array in arrays.items()
        if name.startswith("memory.")
    }
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
    )
