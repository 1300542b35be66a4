r"""A study's descent along lines: critical points, gradient noise, and sticking times.

On a line p(t) = p_0 + t v the descent's stochastic slope is g_k(t) = v^T grad_k(p(t)), with draws
and minibatch k. Its mean over k is the slope f'(t) of the landscape on the line. The zeros of the
mean are the critical points, of curvature kappa, and the deviations from it are the gradient noise.
(The cut gradient is no gradient field, but on a line every slope has an integral.) Plain stochastic
gradient descent on the line,

.. math:: t_{n+1} = t_n - \epsilon g_n(t_n),

is then the process whose sticking and noise floor :mod:`~popinv.downstream.sgd_dynamics.theory`
predicts. It is run to check the prediction.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from popinv.downstream.sgd_dynamics import theory
from popinv.errors import ConfigError
from popinv.inference.descent import step
from popinv.inference.problem import Problem, begin
from popinv.inference.settings import DescentSettings

__all__ = ["CriticalPoint", "Slice", "check_by_running", "hill", "line_slope", "slice_of"]

# g_k(t): the stochastic slope at t with the draws k.
StochasticSlope = Callable[[float, int], float]

# A path has left if it is this number of sticking radii away.
_GONE = 3.0
_MOST_STEPS = 2000


@dataclass(frozen=True)
class CriticalPoint:
    """A zero of the mean slope on a line.

    Attributes
    ----------
    place : float
        t.
    curvature : float
        f''(t): positive at a minimum, negative at a maximum.
    deviation : float
        Standard deviation of the gradient noise there.
    tail_index, tail_index_error : float
        Hill's estimate and its standard error.
    place_error : float
        Standard error of t: that of the mean slope divided by the size of the curvature.
    """

    place: float
    curvature: float
    deviation: float
    tail_index: float
    tail_index_error: float
    place_error: float = 0.0

    @property
    def is_maximum(self) -> bool:
        """Return whether the drift points away from the point."""
        return self.curvature < 0


@dataclass(frozen=True)
class Slice:
    """The mean slope on a line and its critical points.

    Attributes
    ----------
    places : ndarray of shape (n,)
        t.
    slope, error : ndarray of shape (n,)
        Mean slope and its standard error.
    points : tuple of CriticalPoint
    """

    places: np.ndarray
    slope: np.ndarray
    error: np.ndarray
    points: tuple[CriticalPoint, ...]

    @property
    def height(self) -> np.ndarray:
        """F on the line by the trapezoidal rule, with minimum 0, shape (n,)."""
        rises = np.diff(self.places) * (self.slope[1:] + self.slope[:-1]) / 2
        height = np.concatenate([[0.0], np.cumsum(rises)])
        return height - height.min()


def hill(deviations: np.ndarray, share: float = 0.1) -> tuple[float, float]:
    """Return Hill's estimate of the tail index from the largest sizes, and its standard error.

    With the sizes x_(1) >= x_(2) >= ..., 1/alpha is the mean of log(x_(i) / x_(k+1)) over i <= k,
    and the error is alpha / sqrt(k). A normal sample has no tail index; the estimate is then large
    and grows as the share falls.

    Raises
    ------
    ConfigError
        If fewer than five sizes are left in the tail.
    """
    sizes = np.sort(np.abs(deviations))[::-1]
    k = int(share * len(sizes))
    if k < 5:
        raise ConfigError(f"the tail of {len(sizes)} values has {k}, needs at least 5")
    index = 1 / float(np.mean(np.log(sizes[:k] / sizes[k])))
    return index, index / k**0.5


def line_slope(
    problem: Problem, settings: DescentSettings, origin: np.ndarray, direction: np.ndarray
) -> StochasticSlope:
    """Return the descent's stochastic slope along origin + t direction.

    Parameters
    ----------
    problem : Problem
        Its stage addresses the draws.
    settings : DescentSettings
        With the minibatch, ``batch_size`` and ``model_samples``, that determines the noise.
    origin, direction : ndarray of shape (n_p,)
    """
    # Adam's step needs no curvature, and its move is not used.
    settings = settings.replace(optimiser="adam", iterations=1)
    d_alpha = problem.d_alpha

    def slope(t: float, k: int) -> float:
        p = origin + t * direction
        here = replace(problem, stage=f"{problem.stage}/{k}")
        _, info = step(begin(p[:d_alpha], p[d_alpha:], settings), here, settings)
        return float(info["gradient"] @ direction)

    return slope


def slice_of(
    slope: StochasticSlope, places: Sequence[float] | np.ndarray, draws: int, noise_draws: int
) -> Slice:
    """Measure the mean slope at places on a line, and its zeros and the noise there.

    A slope is significant if it differs from zero by two standard errors. Between two significant
    slopes of opposite sign, with no significant slope between them, lies one zero. It is the zero
    of the straight line fitted to the mean slopes from one to the other, whose slope is the
    curvature. All places share their draws, so the error moves the whole line.

    Parameters
    ----------
    slope : callable
        g_k(t).
    places : sequence of float
        t, ascending.
    draws, noise_draws : int
        Number of draws for each mean, and for the noise at a critical point.
    """
    t = np.asarray(places, dtype=float)
    values = np.array([[slope(x, k) for k in range(draws)] for x in t])
    mean, error = values.mean(axis=1), values.std(axis=1, ddof=1) / draws**0.5
    points = []
    clear = np.flatnonzero(np.abs(mean) >= 2 * error)
    for i, j in itertools.pairwise(clear):
        if mean[i] * mean[j] > 0:
            continue
        curvature, rise = np.polyfit(t[i : j + 1], mean[i : j + 1], 1)
        place = np.clip(-rise / curvature, t[i], t[j])
        sample = np.array([slope(place, draws + k) for k in range(noise_draws)])
        deviations = sample - sample.mean()
        index, index_error = hill(deviations)
        uncertain = error[np.argmin(np.abs(t - place))] / abs(curvature)
        points.append(
            CriticalPoint(
                float(place),
                float(curvature),
                float(deviations.std(ddof=1)),
                index,
                index_error,
                float(uncertain),
            )
        )
    return Slice(t, mean, error, tuple(points))


def check_by_running(
    slope: StochasticSlope, point: CriticalPoint, rate: float, paths: int
) -> dict[str, Any]:
    r"""Predict the behaviour of plain stochastic gradient descent at a critical point, and run it.

    At a maximum, these are the steps until it is three sticking radii,
    sqrt(epsilon sigma^2 / (2 kappa)), away, and the side. A path that is still there after 2000
    steps counts with this number. At a minimum, it is the noise floor: with the rate
    r = epsilon kappa, the linear process has the deviation sigma sqrt(epsilon / (kappa (2 - r))),
    which paths that start there show after four relaxation times 1/r.

    Parameters
    ----------
    slope : callable
    point : CriticalPoint
    rate : float
        Learning rate times the size of the curvature, below 1.
    paths : int

    Returns
    -------
    dict
        ``statement`` and numbers ``predicted_*``, ``run_*``.

    Raises
    ------
    ConfigError
        If the rate does not lie in (0, 1).
    """
    if not 0 < rate < 1:
        raise ConfigError(f"the rate is {rate}, must lie between 0 and 1")
    kappa = abs(point.curvature)
    epsilon = rate / kappa
    radius = point.deviation * (epsilon / (2 * kappa)) ** 0.5
    if not point.is_maximum:
        radius = point.deviation * (epsilon / (kappa * (2 - rate))) ** 0.5
        steps = round(4 / rate)
        ends = [_run(slope, point.place, epsilon, steps, path)[0] for path in range(paths)]
        measured = float(np.std(np.array(ends) - point.place, ddof=1))
        return {
            "kind": "minimum",
            "predicted_floor": radius,
            "run_floor": measured,
            "run_floor_error": measured / (2 * (paths - 1)) ** 0.5,
            "statement": f"a minimum: the descent stays within about {radius:.2g} of it",
        }
    level = _GONE * radius
    predicted = theory.quadratic_exit_time(epsilon, level, point.deviation, kappa)
    runs = [_run(slope, point.place, epsilon, _MOST_STEPS, path, level) for path in range(paths)]
    taken = np.array([count for _, count in runs], dtype=float)
    up = np.array([end > point.place for end, _ in runs])
    return {
        "kind": "maximum",
        "predicted_steps": predicted,
        "run_steps": float(taken.mean()),
        "run_steps_error": float(taken.std(ddof=1) / paths**0.5),
        "predicted_share_up": 0.5,
        "run_share_up": float(up.mean()),
        "statement": f"a maximum: within {radius:.2g} of it the descent would stick for about "
        f"{predicted:.0f} steps, and leave either way; from further off it leaves downhill",
    }


def _run(
    slope: StochasticSlope,
    start: float,
    epsilon: float,
    steps: int,
    path: int,
    level: float = np.inf,
) -> tuple[float, int]:
    t = start
    for n in range(steps):
        if abs(t - start) >= level:
            return t, n
        # No other path or mean uses these draws.
        t -= epsilon * slope(t, 1_000_000 + path * max(steps, _MOST_STEPS) + n)
    return t, steps
