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
from dataclasses import dataclass, replace

import numpy as np

from popinv.errors import DivergenceError
from popinv.inference.estimate import Estimate, restricted_inverse
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
# A fall that is higher than so many targets counts as so many.
_HIGH = 9.0
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
    fall, at = _Fall(problem, point, evaluate, i), float(point.p[i])
    first = fall.first_size()
    lower, upper = (_end(fall, at, side, scale * _TWO_SIDED, first) for side in (-1.0, 1.0))
    # Nearer ends show that the maximum is not at the boundary beyond.
    if at - lower > _DEEP and fall(at - _DEEP) < _AT_ZERO:
        return Ends(-math.inf, _end(fall, at, 1.0, scale * _ONE_SIDED, first), "zero")
    if upper - at > _DEEP and fall(at + _DEEP) < _AT_ZERO:
        return Ends(_end(fall, at, -1.0, scale * _ONE_SIDED, first), math.inf, "infinity")
    return Ends(lower, upper, "")


def boundary(problem: Problem, point: Point, evaluate: Evaluate, i: int) -> str:
    """Return the boundary at which the maximum lies in entry i: "zero", "infinity", or ""."""
    fall, at = _Fall(problem, point, evaluate, i), float(point.p[i])
    if fall(at - _DEEP) < _AT_ZERO:
        return "zero"
    return "infinity" if fall(at + _DEEP) < _AT_ZERO else ""


class _Fall:
    """The fall of the maximum if entry i is held at x; infinite if it cannot be evaluated."""

    def __init__(self, problem: Problem, point: Point, evaluate: Evaluate, i: int) -> None:
        self._held = replace(problem, fixed=(*problem.fixed, i))
        self._point, self._evaluate, self._i = point, evaluate, i
        self._error = math.sqrt(restricted_inverse(point.information, problem.free)[i, i])
        # The maxima at the places asked for so far, from which those nearby start.
        self._maxima = {float(point.p[i]): point}

    def __call__(self, x: float) -> float:
        nearest = self._maxima[min(self._maxima, key=lambda place: abs(place - x))]
        start = nearest.p.copy()
        start[self._i] = x
        try:
            state = begin(self._evaluate(start, nearest.memory))
            top = ascend(state, self._evaluate, self._held, _MOST_STEPS).point
        except DivergenceError:
            return math.inf
        self._maxima[x] = top
        return self._point.value - top.value

    def first_size(self) -> float:
        """Return the distance at which a parabola would end the interval, within bounds."""
        return float(np.clip(1.96 * self._error, 0.3, 3.0))


def _end(fall: _Fall, at: float, side: float, target: float, first: float) -> float:
    """Return the point on one side at which the fall reaches the target; infinite if none.

    The root of the fall is nearly linear in the distance, so that a few steps find it.
    """
    # Few estimates need an end, and the import takes 80 ms of every job.
    from scipy.optimize import brentq

    known = {0.0: -math.sqrt(target)}

    def excess(size: float) -> float:
        if size not in known:
            # An infinite fall would mislead the steps.
            seen = min(max(fall(at + side * size), 0.0), _HIGH * target)
            known[size] = math.sqrt(seen) - math.sqrt(target)
        return known[size]

    inside, outside = 0.0, first
    while excess(outside) < 0:
        if outside >= _FURTHEST:
            return side * math.inf
        grown = outside * math.sqrt(target) / (math.sqrt(target) + excess(outside) + _CLOSE)
        inside, outside = outside, min(float(np.clip(grown, 1.2 * outside, 2 * outside)), _FURTHEST)
    return at + side * float(brentq(excess, inside, outside, xtol=_CLOSE / 2))
