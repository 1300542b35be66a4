r"""A study's descent along a line between two answers: the barrier, and the chance to cross it.

On a line p(t) = p_0 + t v the descent's stochastic slope is g_k(t) = v^T grad_k(p(t)), with draws
and minibatch k. Its mean over k is the slope f'(t) of the landscape on the line, and the deviation
sigma(t) from it is the gradient noise. (The cut gradient is no gradient field, but on a line every
slope has an integral.) A Gauss-Newton step of the learning rate r divides the gradient by the
curvature, so on the line it is a step of stochastic gradient descent with epsilon = r / kappa,
kappa the curvature at the minimum. The probability per step to cross the maximum at s from the
minimum at m follows Kramers, with the noise as it was measured along the way,

.. math::
    \frac{\epsilon \sqrt{\kappa_m \kappa_s}}{2 \pi}
    \exp\left(-\frac{2}{\epsilon} \int_m^s \frac{f'(t)}{\sigma^2(t)} dt\right).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.integrate import cumulative_trapezoid, trapezoid

from popinv.errors import ConfigError
from popinv.inference.density.problem import Problem, begin
from popinv.inference.estimators.descent import step
from popinv.inference.estimators.settings import DescentSettings

# g_k(t): the stochastic slope at t with the draws k.
StochasticSlope = Callable[[float, int], float]


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
    """

    place: float
    curvature: float
    deviation: float
    tail_index: float
    tail_index_error: float

    @property
    def is_maximum(self) -> bool:
        """Return whether the drift points away from the point."""
        return self.curvature < 0


@dataclass(frozen=True)
class Slice:
    """The mean slope on a line and its critical points.

    At the places t (n,) stand the mean slope, its standard error, and the standard deviation of the
    gradient noise.
    """

    places: np.ndarray
    slope: np.ndarray
    error: np.ndarray
    deviation: np.ndarray
    points: tuple[CriticalPoint, ...]

    @property
    def height(self) -> np.ndarray:
        """F on the line by the trapezoidal rule, with minimum 0, shape (n,)."""
        height = cumulative_trapezoid(self.slope, self.places, initial=0)
        return height - height.min()

    @property
    def barrier(self) -> tuple[CriticalPoint, CriticalPoint] | None:
        """The minimum nearest to t = 0 and the maximum that follows it, if there are both."""
        minima = [p for p in self.points if not p.is_maximum]
        if not minima:
            return None
        start = min(minima, key=lambda p: abs(p.place))
        after = [p for p in self.points if p.is_maximum and p.place > start.place]
        return (start, after[0]) if after else None

    def between(self, low: float, high: float, values: np.ndarray) -> float:
        """Return the integral of values at the places from low to high."""
        inside = self.places[(self.places > low) & (self.places < high)]
        t = np.concatenate([[low], inside, [high]])
        return float(trapezoid(np.interp(t, self.places, values), t))


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

    The stage of the problem addresses the draws.
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
    """Measure the mean slope g_k(t) at ascending places t on a line, and its zeros and noise there.

    A slope is significant if it differs from zero by two standard errors. Between two significant
    slopes of opposite sign, with no significant slope between them, lies one zero. It is the zero
    of the straight line fitted to the mean slopes from one to the other, whose slope is the
    curvature. All places share their draws, so the error moves the whole line. Each mean is over
    ``draws``, and the noise at a critical point over ``noise_draws``.
    """
    t = np.asarray(places, dtype=float)
    values = np.array([[slope(x, k) for k in range(draws)] for x in t])
    mean, deviation = values.mean(axis=1), values.std(axis=1, ddof=1)
    error = deviation / draws**0.5
    points = []
    clear = np.flatnonzero(np.abs(mean) >= 2 * error)
    for i, j in itertools.pairwise(clear):
        if mean[i] * mean[j] > 0:
            continue
        curvature, rise = np.polyfit(t[i : j + 1], mean[i : j + 1], 1)
        place = np.clip(-rise / curvature, t[i], t[j])
        sample = np.array([slope(place, draws + k) for k in range(noise_draws)])
        index, index_error = hill(sample - sample.mean())
        noise = float(sample.std(ddof=1))
        points.append(CriticalPoint(float(place), float(curvature), noise, index, index_error))
    return Slice(t, mean, error, deviation, tuple(points))


def crossing_probability(profile: Slice, rates: Sequence[float] | np.ndarray) -> float:
    """Return the probability to cross the barrier in a descent with these learning rates.

    It is 1 - exp(-sum of the probabilities per step). It is 0 without a barrier: there is nothing
    on the line to cross to. The line has the answer at t = 0. There is a learning rate for every
    step, as a share of a Gauss-Newton step.
    """
    barrier = profile.barrier
    if barrier is None:
        return 0.0
    bottom, top = barrier
    weighted = profile.slope / profile.deviation**2
    exponent = 2 * profile.between(bottom.place, top.place, weighted)
    epsilon = np.asarray(rates, dtype=float) / bottom.curvature
    frequency = math.sqrt(bottom.curvature * -top.curvature) / (2 * math.pi)
    per_step = epsilon * frequency * np.exp(-max(exponent, 0.0) / epsilon)
    return float(-np.expm1(-per_step.sum()))
