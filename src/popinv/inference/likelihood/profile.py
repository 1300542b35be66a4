r"""Intervals of parameters that the curvature at the maximum does not describe.

The likelihood of some parameters is flat to one side, such as the logarithm of a deviation that may
be zero, or of a length beyond the domain. The profile interval holds the values x at which

.. math::
    2 \Bigl[\max_p \ell(p) - \max_{p: p_i = x} \ell(p)\Bigr] \le c\, q,

where q is the quantile of chi-squared with one degree of freedom: 3.84 for 95 %, or 2.71 if the
maximum itself lies at zero, so that the interval is one-sided. c is the ratio of the parameter's
sampling variance to the variance from the curvature, and is 1 for the likelihood of a right model.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from popinv.errors import DivergenceError
from popinv.inference.estimate import Estimate
from popinv.inference.likelihood.scoring import Evaluate, Point, ascend, begin
from popinv.inference.problem import Problem

__all__ = [
    "ILL_DETERMINED",
    "Ends",
    "boundary",
    "ill_determined",
    "profile",
    "profiles",
    "scale_of",
]

# If the standard error of a logarithm is larger, the profile gives the interval.
ILL_DETERMINED = 0.4
_TWO_SIDED, _ONE_SIDED = 3.841 / 2, 2.706 / 2
# Largest distance of an end from the maximum, and tolerance of its position.
_FURTHEST, _CLOSE, _MOST_STEPS = 12.0, 0.03, 12
# If the maximum exceeds the value at zero by less than this, the maximum lies at zero.
_AT_ZERO, _DEEP = 0.05, 6.0
# A variance of a logarithm that carries no information.
_FLAT = 25.0


@dataclass(frozen=True)
class Ends:
    """Ends of the 95 % interval of one entry of p; infinite if the data do not determine them.

    Attributes
    ----------
    lower, upper : float
    boundary : {"", "zero", "infinity"}
        The boundary at which the maximum lies, if any.
    """

    lower: float
    upper: float
    boundary: str


def profiles(
    problem: Problem, estimate: Estimate, point: Point, evaluate: Evaluate
) -> dict[int, Ends]:
    """Return the ends for each ill-determined positive parameter.

    Parameters
    ----------
    problem : Problem
    estimate : Estimate
    point : Point
        The maximum.
    evaluate : callable
        The likelihood near the maximum; see :mod:`popinv.inference.likelihood.scoring`.
    """
    return {
        int(i): profile(problem, point, evaluate, int(i), scale_of(estimate, int(i)))
        for i in np.flatnonzero(ill_determined(problem, estimate))
    }


def scale_of(estimate: Estimate, i: int) -> float:
    """Return c for entry i."""
    sampling, model = estimate.covariance[i, i], estimate.bread[i, i]
    # If the curvature carries almost no information, neither does the ratio.
    return float(np.clip(sampling / model, 0.2, 5.0)) if model < _FLAT else 1.0


def ill_determined(problem: Problem, estimate: Estimate) -> np.ndarray:
    """Return which positive parameters need an interval from the profile, (n_p,)."""
    errors = np.sqrt(np.maximum(np.diag(estimate.covariance), np.diag(estimate.bread)))
    of_law = problem.law.correlations | problem.law.shares | (problem.law.precision > 0)
    bounded = np.concatenate([of_law, problem.noise.correlations])
    positive = problem.logarithmic & ~bounded
    return problem.free & positive & (errors >= ILL_DETERMINED)


def profile(problem: Problem, point: Point, evaluate: Evaluate, i: int, scale: float = 1.0) -> Ends:
    """Return the ends of the interval of entry i.

    Parameters
    ----------
    problem : Problem
    point : Point
        The maximum.
    evaluate : callable
    i : int
    scale : float
        c.
    """
    drop, at = _drop(problem, point, evaluate, i), float(point.p[i])
    where = _boundary(drop, at)
    target = scale * (_ONE_SIDED if where else _TWO_SIDED)
    lower = -math.inf if where == "zero" else _end(drop, at, -1.0, target)
    upper = math.inf if where == "infinity" else _end(drop, at, 1.0, target)
    return Ends(lower, upper, where)


def boundary(problem: Problem, point: Point, evaluate: Evaluate, i: int) -> str:
    """Return the boundary at which the maximum lies in entry i: "zero", "infinity", or ""."""
    return _boundary(_drop(problem, point, evaluate, i), float(point.p[i]))


def _boundary(drop: Callable[[float], float], at: float) -> str:
    if drop(at - _DEEP) < _AT_ZERO:
        return "zero"
    return "infinity" if drop(at + _DEEP) < _AT_ZERO else ""


def _drop(problem: Problem, point: Point, evaluate: Evaluate, i: int) -> Callable[[float], float]:
    held = replace(problem, fixed=(*problem.fixed, i))

    def drop(x: float) -> float:
        """Return the fall of the maximum if entry i is held at x."""
        start = point.p.copy()
        start[i] = x
        try:
            state = begin(evaluate(start, point.memory))
            return point.value - ascend(state, evaluate, held, _MOST_STEPS).point.value
        except DivergenceError:
            return math.inf

    return drop


def _end(drop: Callable[[float], float], at: float, side: float, target: float) -> float:
    """Return the point on one side at which the drop reaches the target; infinite if none."""
    inside, outside, size = 0.0, math.inf, 0.5
    while not math.isfinite(outside):
        if drop(at + side * size) >= target:
            outside = size
        elif size >= _FURTHEST:
            return side * math.inf
        else:
            inside, size = size, min(2 * size, _FURTHEST)
    while outside - inside > _CLOSE:
        middle = (inside + outside) / 2
        inside, outside = (
            (inside, middle) if drop(at + side * middle) >= target else (middle, outside)
        )
    return at + side * (inside + outside) / 2
