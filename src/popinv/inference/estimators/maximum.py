"""The maximum of the marginal likelihood alone, and starts from which it is reached.

Before an ascent, the integrals of some systems tell whether those of all can be accurate. Where all
systems are many times as many, the maximum of some of them is a start that is nearer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from popinv.errors import DivergenceError
from popinv.inference.density.problem import Problem
from popinv.inference.estimators.marginal_estimate import FEWEST_EFFECTIVE, point_of, squares_of
from popinv.inference.estimators.newton import MOST_STEPS, informed, newton, point_at
from popinv.inference.estimators.scoring import ascend, begin, promised_gain
from popinv.inference.integrate.marginal import Evaluation, MarginalSettings
from popinv.inference.integrate.marginal_near import Near, likelihood_near
from popinv.inference.integrate.penalty import penalty_at
from popinv.threads import fixed_threads

# Gain in the log likelihood that may be left by steps with a curvature of other systems.
_SMALL_GAIN = 0.02
# If the diagnostics exceed these at the start, which is near the maximum, the ascent is skipped.
_HOPELESS_SHARE, _HOPELESS_POOR, LOOKED_AT = 0.1, 0.25, 100
# With this many times as many systems, an ascent of those first takes the far part of the way, if
# the predicted gain of their next step is larger than this for each parameter.
# It may move logarithms by less than the last number.
_TIMES_LOOKED_AT, _FAR, _LONGEST_MOVE = 5, 2.0, 3.0


def nearer(problem: Problem, some: Near, start: np.ndarray) -> np.ndarray:
    r"""Return a start (n_p,) that is nearer to the maximum of all systems, or the given one.

    The scores s_n of N systems that are k standard errors from their maximum have a mean. The sum
    of their squares is the information I and the square of this mean,

    .. math:: \sum_n s_n s_n^T \approx I + g g^T / N, \qquad g = \sum_n s_n, \quad
        g^T I^{-1} g = k^2 ,

    so that a step is the share :math:`1 / (1 + k^2 / N)` of a Newton step. A start by the moments
    may have a k of 60 if the noise is small. Some of the systems then take the long way. Their
    maximum is :math:`\sqrt{N / n}` standard errors from that of all.

    Parameters
    ----------
    some : Near
        The likelihood of n of the systems at the start.
    """
    few, free = some.problem, some.problem.free
    if problem.count < _TIMES_LOOKED_AT * few.count or len(some.hard):
        return start
    point = point_of(few, start, some.here)
    if promised_gain(point, few) < _FAR * np.count_nonzero(free):
        return start
    end = ascend(begin(point), point_at(few, some), few, MOST_STEPS)
    # A number that some systems put at zero would stay there.
    moved = np.abs(end.point.p - start)[few.logarithmic & free]
    return end.point.p if end.arrived and moved.max(initial=0.0) < _LONGEST_MOVE else start


def refuse_hopeless(problem: Problem, p: np.ndarray, settings: MarginalSettings) -> Near:
    """Return the likelihood of some systems, if the integrals of all of them can be accurate.

    Raises
    ------
    DivergenceError
        If too few of their draws are effective for an ascent to make the integrals accurate.
    """
    count = problem.count
    systems = np.linspace(0, count - 1, min(count, LOOKED_AT)).astype(int)
    # Every rank reads these few systems, and the ranks share the loops over them.
    few = problem.whole.of_systems(systems)
    near = likelihood_near(few, p, settings, systems)
    share = near.here.effective_share
    poor = np.mean(share * settings.draws < FEWEST_EFFECTIVE)
    if share.mean() < _HOPELESS_SHARE or poor > _HOPELESS_POOR:
        raise DivergenceError(
            f"only {share.mean():.0%} of the draws count, and {poor:.0%} of the systems have too "
            f"few effective draws ({len(systems)} systems checked)"
        )
    return near


def maximum_likelihood(
    problem: Problem, start: np.ndarray, settings: MarginalSettings
) -> tuple[np.ndarray, Mapping[str, np.ndarray]]:
    """Return only the maximum (n_p,), and the memory of the evaluation there."""
    with fixed_threads():
        start = np.array(start, dtype=float)
        start = nearer(problem, refuse_hopeless(problem, start, settings), start)
        near = likelihood_near(problem, start, settings)
        first = begin(point_of(problem, start, near.here))
        maximum = ascend(first, point_at(problem, near), problem, MOST_STEPS).point
    return maximum.p, maximum.memory


def maximum_with_information(
    problem: Problem,
    start: np.ndarray,
    settings: MarginalSettings,
    information: np.ndarray,
    numbers: np.ndarray | None = None,
    most: int = MOST_STEPS,
) -> tuple[np.ndarray, bool]:
    """Return the maximum (n_p,), by steps with a given information, and whether it was reached.

    The scores of few systems estimate the information badly, so that an information from more
    systems is better. If its steps gain nothing, or if the squares of the scores promise a larger
    gain, the ascent continues with the observed curvature.

    Parameters
    ----------
    start : ndarray of shape (n_p,)
    information : ndarray of shape (n_p, n_p)
        Approximate negative Hessian of the log likelihood.
    numbers : ndarray of int, shape (N,), optional
        As in :func:`popinv.inference.integrate.marginal.evaluate`.
    most : int
        Largest number of steps.

    Raises
    ------
    DivergenceError
        If the likelihood is not finite at the start.
    """
    start = np.array(start, dtype=float)
    near = likelihood_near(problem, start, settings, numbers)
    point = point_at(problem, near)
    with fixed_threads():
        first = replace(point_of(problem, start, near.here), information=information)
        state = ascend(begin(first), informed(point, information), problem, most)
        squares = squares_of(problem, Evaluation(**state.point.memory))
        squares = squares + penalty_at(problem, state.point.p).curvature
        own = replace(state.point, information=squares)
        left = promised_gain(own, problem)
        if not state.arrived or left > _SMALL_GAIN:
            state = replace(state, point=own, arrived=False)
            state = newton(problem, near, state, point, None)
    return state.point.p, state.arrived
