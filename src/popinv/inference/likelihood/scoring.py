r"""Ascent of a log likelihood by damped scoring steps.

With gradient g and information I (any positive matrix near the negative Hessian) a step is

.. math:: \delta = (I + \lambda\, \operatorname{diag} I)^{-1} g,

taken where it raises the likelihood, and otherwise tried again with a larger damping lambda. No
step depends on the units of a parameter. Logarithms of positive quantities move by at most one at
a time, each by itself, so that one on its way to zero does not hold up the others.

The ascent has arrived when the step, as far as it is allowed, promises a gain of less than
``TOLERANCE`` in the log likelihood: for a parameter that the data determine, about 0.03 of its
standard error.
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


@dataclass(frozen=True)
class Point:
    """The likelihood at p (n_p,): its value, gradient (n_p,) and information (n_p, n_p).

    ``error`` is the standard error of the value where it is estimated from draws, and ``memory``
    holds arrays that the evaluation of points near by begins with.
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
    """Everything that an interrupted ascent needs to go on.

    Attributes
    ----------
    iteration : int
        Steps tried.
    point : Point
    damping : float
    arrived : bool
        Whether no further step is worth taking.
    path : ndarray of shape (k, n_p)
        The points that were taken, the start first.
    """

    iteration: int
    point: Point
    damping: float
    arrived: bool
    path: np.ndarray


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


def _direction(point: Point, free: np.ndarray, bounded: np.ndarray, damping: float) -> np.ndarray:
    """Return the step (n_p,), no entry of ``bounded`` longer than allowed."""
    change = np.zeros(len(point.p))
    information, gradient = point.information[np.ix_(free, free)], point.gradient[free]
    size = sizes(information)
    # Parameters that the data say nothing about leave the matrix singular.
    scaled = information / np.outer(size, size) + (damping + _SINGULAR) * np.eye(len(size))
    change[free] = np.linalg.solve(scaled, gradient / size) / size
    change[bounded] = np.clip(change[bounded], -_LONGEST, _LONGEST)
    return change


def promised_gain(point: Point, free: np.ndarray, bounded: np.ndarray) -> float:
    """Return what an undamped step from a point promises to gain."""
    change = _direction(point, free, bounded, 0.0)
    linear = point.gradient @ change
    # Where entries are cut, the quadratic may promise a loss; the gradient still tells the size.
    return float(max(linear - 0.5 * change @ point.information @ change, 0.5 * abs(linear)))


def step(
    state: ScoringState, evaluate: Evaluate, free: np.ndarray, bounded: np.ndarray
) -> ScoringState:
    """Try one step.

    Parameters
    ----------
    state : ScoringState
    evaluate : callable
        From p and a memory to a :class:`Point`; raises DivergenceError where there is none.
    free, bounded : ndarray of bool, shape (n_p,)
        Which entries move, and which of them by at most one at a time.
    """
    old = state.point
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
        # Value and gradient are estimated apart: where the value does not tell, the gradients at
        # both ends do, if less is left to be gained at the new one.
        along = (old.gradient + new.gradient) @ change > 0
        better = along and promised_gain(new, free, bounded) < gain
    if not better:
        return failed
    damping = max(state.damping * _LESS, _LEAST)
    return replace(
        state, point=new, damping=damping, path=np.concatenate([state.path, new.p[None]])
    )


def ascend(
    state: ScoringState,
    evaluate: Evaluate,
    problem: Problem,
    most: int,
    progress: Callable[[ScoringState], None] | None = None,
) -> ScoringState:
    """Take steps until the ascent has arrived, or ``most`` have been tried.

    Parameters
    ----------
    state : ScoringState
        From :func:`begin`, or where an earlier ascent was interrupted.
    evaluate : callable
        As in :func:`step`.
    problem : Problem
    most : int
    progress : callable, optional
        Given the state after every step.
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
    for name in _OF_POINT:
        arrays[f"point.{name}"] = np.asarray(getattr(state.point, name))
    return arrays | {f"memory.{name}": array for name, array in state.point.memory.items()}


def state_of(arrays: Mapping[str, np.ndarray]) -> ScoringState:
    """Undo :func:`state_arrays`."""
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
    )
