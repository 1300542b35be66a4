r"""Intervals of parameters that the curvature at the maximum does not describe.

The likelihood is flat to one side of some parameters, such as the logarithm of a standard deviation
that may be zero, of a length beyond the domain, or the atanh of a correlation that may be 1. The
profile interval holds the values x at which

.. math::
    2 \Bigl[\max_p \ell(p) - \max_{p: p_i = x} \ell(p)\Bigr] \le c\, t^2,

where t is the quantile of Student's t distribution with one degree of freedom less than systems: at
97.5 %, or at 95 % if the maximum itself lies at such an end, so that the interval is one-sided.
With many systems, t^2 is the quantile of chi-squared, 3.84 or 2.71. c is the ratio of the
parameter's sampling variance to the variance from the curvature, and is 1 for the likelihood of a
right model.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.special import stdtrit

from popinv.errors import DivergenceError
from popinv.inference.density.problem import Problem
from popinv.inference.estimators.estimate import Ends, restricted_inverse
from popinv.inference.estimators.scoring import Evaluate, Point, ScoringState, ascend, begin

# With a larger standard error of a logarithm, the profile gives the interval.
ILL_DETERMINED = 0.4
# Parameters of correlated noise with a larger standard error have the interval of the profile.
_SKEWED = 0.05
# A correlation beyond that of this atanh, 0.905, may be 1.
_NEAR_ONE = 1.5
_TWO_SIDED, _ONE_SIDED = 0.975, 0.95
# Largest distance of an end from the maximum, and tolerance of its position.
_FURTHEST, _CLOSE, _MOST_STEPS = 12.0, 0.03, 12
# Predicted gain, in the log likelihood, below which a maximum with an entry held is reached.
_TOLERANCE = 0.01
# If the maximum exceeds the value at zero by less than this, the maximum lies at zero.
_AT_ZERO, _DEEP = 0.05, 6.0
# Fall of the log likelihood within which the other entries follow the held entry well.
_FOLLOWS = 1.0
# A fall of more than this many targets counts as this many.
_HIGH = 9.0
# A logarithm with this variance carries no information.
_FLAT = 25.0


def profiles(
    problem: Problem,
    entries: np.ndarray,
    sampling: np.ndarray,
    model: np.ndarray,
    point: Point,
    evaluate: Evaluate,
) -> dict[int, Ends]:
    """Return the ends of the intervals of some positive parameters, and of some correlations.

    Parameters
    ----------
    entries : ndarray of bool, shape (n_p,)
        From :func:`need_profiles`.
    sampling, model : ndarray of shape (n_p, n_p)
        The sampling covariance, and the covariance from the curvature.
    point : Point
        The maximum.
    evaluate : callable
        The likelihood near the maximum; see :mod:`popinv.inference.estimators.scoring`.
    """
    found = {}
    for i in np.flatnonzero(entries).tolist():
        # If the curvature carries almost no information, neither does the ratio.
        weak = model[i, i] >= _FLAT
        scale = 1.0 if weak else float(np.clip(sampling[i, i] / model[i, i], 0.2, 5.0))
        found[i] = profile(problem, point, evaluate, i, scale)
    return found


def need_profiles(problem: Problem, p: np.ndarray, *covariances: np.ndarray) -> np.ndarray:
    """Return which parameters need an interval from the profile, (n_p,).

    They are those of :func:`ill_determined`; size, length and correlation of noise that is
    correlated, whose likelihood is skewed, since a larger noise may be a longer one; and
    correlations of the law that are near 1 or -1. Of a group, only the correlations with its first
    parameter are coordinates of the law.
    """
    noise, errors = problem.noise, _largest_errors(covariances)
    near_one = np.zeros(len(p), dtype=bool)
    for matrix in problem.law.matrices:
        near_one[[matrix.entries[i * (i - 1) // 2] for i in range(1, matrix.size)]] = True
    near_one &= ~(errors < ILL_DETERMINED) & (np.abs(p) > _NEAR_ONE)
    skewed = np.zeros(len(p), dtype=bool)
    lengths = np.array(["length" in name for name in noise.names], dtype=bool)
    if not noise.unrestricted and (lengths.any() or np.count_nonzero(noise.correlations) == 1):
        skewed[problem.d_alpha :] = noise.sizes | noise.correlations | lengths
    skewed &= ~(errors < _SKEWED)
    return ill_determined(problem, *covariances) | (problem.free & (near_one | skewed))


def _largest_errors(covariances: Sequence[np.ndarray]) -> np.ndarray:
    """Return the largest standard error of each parameter in some covariances, (n_p,)."""
    return np.asarray(np.sqrt(np.max([np.diag(each) for each in covariances], axis=0)))


def ill_determined(problem: Problem, *covariances: np.ndarray) -> np.ndarray:
    """Return which positive parameters need an interval from the profile, (n_p,).

    Their logarithm has a large standard error in one of the covariances (n_p, n_p).
    """
    errors = _largest_errors(covariances)
    of_law = problem.law.correlations | problem.law.shares | problem.law.of_shape
    of_noise = problem.noise.correlations | problem.noise.of_shape
    bounded = np.concatenate([of_law, of_noise])
    positive = problem.logarithmic & ~bounded
    return problem.free & positive & ~(errors < ILL_DETERMINED)


def profile(problem: Problem, point: Point, evaluate: Evaluate, i: int, scale: float = 1.0) -> Ends:
    """Return the ends of the interval of entry i.

    Parameters
    ----------
    point : Point
        The maximum.
    evaluate : callable
    scale : float
        c.
    """
    fall, at = _Fall(problem, point, evaluate, i), float(point.p[i])
    first, units = fall.first_size(), problem.units
    both, one = (0.5 * scale * stdtrit(units - 1, q) ** 2 for q in (_TWO_SIDED, _ONE_SIDED))
    lower, upper = (_end(fall, at, side, both, first) for side in (-1.0, 1.0))
    correlation = np.concatenate([problem.law.correlations, problem.noise.correlations])[i]
    least, greatest = ("minus one", "one") if correlation else ("zero", "infinity")
    # Nearer ends show that the maximum is not at the boundary beyond.
    if at - lower > _DEEP and fall(at - _DEEP) < _AT_ZERO:
        return Ends(-math.inf, _end(fall, at, 1.0, one, first), least)
    if upper - at > _DEEP and fall(at + _DEEP) < _AT_ZERO:
        return Ends(_end(fall, at, -1.0, one, first), math.inf, greatest)
    return Ends(lower, upper, "")


class _Fall:
    """The fall of the maximum with entry i held at x; infinite if it cannot be evaluated."""

    def __init__(self, problem: Problem, point: Point, evaluate: Evaluate, i: int) -> None:
        self._held = problem.held([i])
        self._point, self._evaluate, self._i = point, evaluate, i
        covariance = restricted_inverse(point.information, problem.free)
        self._error = math.sqrt(covariance[i, i])
        # To first order, the other entries follow the one that is held.
        self._along = covariance[:, i] / covariance[i, i]
        # The maxima at earlier places; searches at nearby places start from them.
        self._maxima = {float(point.p[i]): point}

    def __call__(self, x: float) -> float:
        nearest = self._maxima[min(self._maxima, key=lambda place: abs(place - x))]
        ahead = nearest.p + self._along * np.clip(x - nearest.p[self._i], -1.0, 1.0)
        tops: list[ScoringState] = []
        for start in (ahead, nearest.p.copy()):
            start[self._i] = x
            # The other entries may move if they follow well.
            if tops and tops[0].point.value > nearest.value - _FOLLOWS:
                break
            try:
                tops.append(begin(self._evaluate(start, nearest.memory)))
            except DivergenceError:
                continue
        if not tops:
            return math.inf
        best = max(tops, key=lambda state: state.point.value)
        top = ascend(best, self._evaluate, self._held, _MOST_STEPS, tolerance=_TOLERANCE).point
        self._maxima[x] = top
        return self._point.value - top.value

    def first_size(self) -> float:
        """Return the distance at which a parabola would end the interval, within bounds."""
        return float(np.clip(1.96 * self._error, 0.3, 3.0))


def _end(fall: _Fall, at: float, side: float, target: float, first: float) -> float:
    """Return the point on one side at which the fall reaches the target, or infinity.

    The root of the fall is nearly linear in the distance, so that a few steps of the regula falsi
    find it. An end that stays is given less weight (the Illinois rule).
    """
    root = math.sqrt(target)

    def excess(size: float) -> float:
        # An infinite fall would mislead the steps.
        seen = min(max(fall(at + side * size), 0.0), _HIGH * target)
        return math.sqrt(seen) - root

    inside, below, outside = 0.0, -root, first
    while (above := excess(outside)) < 0:
        if outside >= _FURTHEST:
            return side * math.inf
        grown = outside * root / (root + above + _CLOSE)
        inside, below = outside, above
        outside = min(float(np.clip(grown, 1.2 * outside, 2 * outside)), _FURTHEST)
    while True:
        slope = (above - below) / (outside - inside)
        size = inside - below / slope
        found = excess(size) if outside - inside > _CLOSE else 0.0
        if abs(found) < slope * _CLOSE / 2:
            return at + side * (size - found / slope)
        if found < 0:
            inside, below, above = size, found, above / 2
        else:
            outside, above, below = size, found, below / 2
