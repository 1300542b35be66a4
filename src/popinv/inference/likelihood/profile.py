r"""Intervals of parameters that the curvature at the maximum does not describe.

The logarithm of a deviation that the data hardly tell from zero, or of a length beyond the domain,
has a likelihood that is flat to one side. Its interval holds the values x at which

.. math::
    2 \Bigl[\max_p \ell(p) - \max_{p: p_i = x} \ell(p)\Bigr] \le c\, q,

q the quantile of chi-squared with one degree of freedom: 3.84 for 95 %, or 2.71 where the maximum
itself lies at zero, so that the interval has one end alone. c is the parameter's sampling variance
over that which the curvature gives, 1 for a likelihood of the right model.
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

__all__ = ["ILL_DETERMINED", "Ends", "ill_determined", "profile", "profiles"]

# A standard error of a logarithm from which the interval is found by the profile.
ILL_DETERMINED = 0.4
_TWO_SIDED, _ONE_SIDED = 3.841 / 2, 2.706 / 2
# How far from the maximum an end is looked for, and when it counts as there.
_FURTHEST, _CLOSE, _MOST_STEPS = 12.0, 0.03, 12
# A maximum this little above the value at zero lies there.
_AT_ZERO, _DEEP = 0.05, 6.0
# A variance of a logarithm that says nothing.
_FLAT = 25.0


@dataclass(frozen=True)
class Ends:
    """Ends of the 95 % interval of one entry of p; infinite where the data set none.

    Attributes
    ----------
    lower, upper : float
    boundary : {"", "zero", "infinity"}
        Where the maximum lies, if not inside.
    """

    lower: float
    upper: float
    boundary: str


def profiles(
    problem: Problem, estimate: Estimate, point: Point, evaluate: Evaluate
) -> dict[int, Ends]:
    """Return the ends for each positive parameter that is ill determined.

    Parameters
    ----------
    problem : Problem
    estimate : Estimate
    point : Point
        The maximum.
    evaluate : callable
        The likelihood near by; see :mod:`popinv.inference.likelihood.scoring`.
    """
    found = {}
    sampling, model = np.diag(estimate.covariance), np.diag(estimate.bread)
    for i in np.flatnonzero(ill_determined(problem, estimate)):
        # Where the curvature says next to nothing, neither does the ratio.
        scale = float(np.clip(sampling[i] / model[i], 0.2, 5.0)) if model[i] < _FLAT else 1.0
        found[int(i)] = profile(problem, point, evaluate, int(i), scale)
    return found


def ill_determined(problem: Problem, estimate: Estimate) -> np.ndarray:
    """Return which positive parameters' intervals the profile has to find, (n_p,)."""
    errors = np.sqrt(np.maximum(np.diag(estimate.covariance), np.diag(estimate.bread)))
    correlations = [False] * problem.d_alpha + list(problem.noise.correlations)
    positive = problem.logarithmic & ~np.array(correlations)
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
    held = replace(problem, fixed=(*problem.fixed, i))

    def drop(x: float) -> float:
        """Return by how much the maximum falls with entry i at x."""
        start = point.p.copy()
        start[i] = x
        try:
            state = begin(evaluate(start, point.memory))
            return point.value - ascend(state, evaluate, held, _MOST_STEPS).point.value
        except DivergenceError:
            return math.inf

    at = float(point.p[i])
    boundary = ""
    if drop(at - _DEEP) < _AT_ZERO:
        boundary = "zero"
    elif drop(at + _DEEP) < _AT_ZERO:
        boundary = "infinity"
    target = scale * (_ONE_SIDED if boundary else _TWO_SIDED)
    lower = -math.inf if boundary == "zero" else _end(drop, at, -1.0, target)
    upper = math.inf if boundary == "infinity" else _end(drop, at, 1.0, target)
    return Ends(lower, upper, boundary)


def _end(drop: Callable[[float], float], at: float, side: float, target: float) -> float:
    """Return where the drop reaches the target, looking to one side; infinite if it does not."""
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
