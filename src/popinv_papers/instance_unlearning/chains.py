r"""The test problem in one dimension: bounds beside exactly known divergences.

Noisy gradient descent on a mean of parabolas has laws that are all normal. With n points x_i,
losses (theta - x_i)^2 / 2 and gradients divided by n for any removed points,

.. math:: \theta_{t+1} = \theta_t - \frac{\eta}{n} \sum_i (\theta_t - x_i)
    + \sqrt{2 \eta \sigma^2}\, N(0, 1),

so divergences, contraction and losses can be compared with their bounds without sampling.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from popinv.seeds import generator
from popinv_papers.instance_unlearning.bounds import contraction, divergence_bound, steps_bound
from popinv_papers.instance_unlearning.renyi import composed_loss, hoelder_orders


@dataclass(frozen=True)
class Normal:
    """A normal law on the line."""

    mean: float
    variance: float


@dataclass(frozen=True)
class AffineChain:
    """theta -> factor theta + shift + N(0, noise)."""

    factor: float
    shift: float
    noise: float

    @classmethod
    def of(cls, points: np.ndarray, count: int, rate: float, sigma: float) -> AffineChain:
        """Return the chain on some points, with gradients divided by ``count``."""
        share = len(points) / count
        return cls(1 - rate * share, rate * float(np.sum(points)) / count, 2 * rate * sigma**2)

    def after(self, steps: int, start: Normal) -> Normal:
        """Return the law after some steps."""
        end = self.stationary
        decay = self.factor**steps
        return Normal(
            end.mean + decay * (start.mean - end.mean),
            end.variance + decay**2 * (start.variance - end.variance),
        )

    @property
    def stationary(self) -> Normal:
        """Return the stationary law."""
        return Normal(self.shift / (1 - self.factor), self.noise / (1 - self.factor**2))


def normal_divergence(p: Normal, q: Normal, order: float) -> float:
    """Return D_alpha(p || q), or infinity if the integral diverges."""
    mixed = order * q.variance + (1 - order) * p.variance
    if not mixed > 0:
        return math.inf
    spread = 0.5 * math.log(q.variance / p.variance)
    spread += 0.5 / (order - 1) * math.log(q.variance / mixed)
    return spread + order * (p.mean - q.mean) ** 2 / (2 * mixed)


def replacement_loss(
    gap: float, count: int, steps: int, chain: AffineChain, rate: float, order: float
) -> float:
    """Return P(x, alpha) = T alpha (eta gap / n)^2 / (2 noise) for a replaced point.

    The gradients' difference is constant. ``gap`` is the point minus its replacement, ``count`` n,
    and ``steps`` T.
    """
    return steps * order * (rate * gap / count) ** 2 / (2 * chain.noise)


def removal_loss(
    point: float,
    count: int,
    steps: int,
    chain: AffineChain,
    start: Normal,
    rate: float,
    order: float,
    exponent: float | None = None,
) -> float:
    r"""Return P(x, alpha) for a removed point, by Hoelder's inequality; infinite if a moment is.

    The point's gradient theta - x is random. The moments of its step follow from a squared normal
    variable, E exp(c (theta - x)^2) = (1 - 2 c v)^{-1/2} exp(c m^2 / (1 - 2 c v)).

    Parameters
    ----------
    count, steps : int
        n and T.
    chain, start : AffineChain, Normal
        Training on all points.
    rate, order : float
        eta and alpha.
    exponent : float, optional
        p; by default three times the number of steps.
    """
    exponent = 3.0 * steps if exponent is None else exponent
    orders = hoelder_orders(order, exponent, steps)
    moments = np.empty(steps)
    for i in range(steps):
        law = chain.after(steps - 1 - i, start)
        # D_a(step | theta) = a (eta (theta - x) / n)^2 / (2 noise)
        c = exponent * (orders[i] - 1) * orders[i] * (rate / count) ** 2 / (2 * chain.noise)
        left = 1 - 2 * c * law.variance
        if not left > 0:
            return math.inf
        moments[i] = -0.5 * math.log(left) + c * (law.mean - point) ** 2 / left
    return float(composed_loss(moments, order, exponent))


def exact_steps(
    chain: AffineChain, start: Normal, target: Normal, order: float, epsilon: float, most: int
) -> int:
    """Return the first k with D_alpha(U_k || target) <= epsilon, or ``most`` if there is none."""
    for k in range(most):
        if normal_divergence(chain.after(k, start), target, order) <= epsilon:
            return k
    return most


_COUNT, _RATE, _SIGMA, _ORDER = 50, 0.1, 0.3, 2.0
# The losses are 1-strongly convex.
_CONSTANT = 2 * _SIGMA**2
_START = Normal(0.0, 1e-12)
_EPSILON = 0.01
_MOST = 5000

Chains = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Losses, bounds on steps and exact steps of the points of a chain."""


@dataclass(frozen=True)
class BoundedValue:
    """A bound and the bounded value; ``what`` is "loss", "divergence" or "steps"."""

    what: str
    change: str
    point: float
    trained: int
    tuned: int
    bound: float
    exact: float

    @property
    def violated(self) -> bool:
        """Return whether the exact value is above the bound, by more than rounding."""
        return self.exact > self.bound * (1 + 1e-9) + 1e-12


def _points(seed: int, number: int) -> np.ndarray:
    return generator(seed, "instance_unlearning/chains", number).standard_normal(_COUNT)


def compare(seed: int, number: int = 0) -> list[BoundedValue]:
    """Return losses, divergences and steps for points near and far, trainings short and long."""
    cases = []
    for point in (1.0, 5.0, 20.0):
        points = np.r_[point, _points(seed, number)[1:]]
        full = AffineChain.of(points, _COUNT, _RATE, _SIGMA)
        for change, rest in (("replaced", np.r_[0.0, points[1:]]), ("removed", points[1:])):
            left = AffineChain.of(rest, _COUNT, _RATE, _SIGMA)
            for trained in (20, 50, 100, 400):
                cases += _one(point, change, full, left, trained)
    return cases


def _loss(change: str, point: float, trained: int, full: AffineChain, order: float) -> float:
    if change == "replaced":
        return replacement_loss(point, _COUNT, trained, full, _RATE, order)
    # Every exponent gives a valid bound.
    exponents = [trained * factor for factor in (0.5, 1.0, 1.5, 2.0, 3.0, 5.0)]
    return min(
        removal_loss(point, _COUNT, trained, full, _START, _RATE, order, p) for p in exponents
    )


def _one(
    point: float, change: str, full: AffineChain, left: AffineChain, trained: int
) -> list[BoundedValue]:
    model, reference = full.after(trained, _START), left.after(trained, _START)
    end, high = left.stationary, 4 * _ORDER
    loss = _loss(change, point, trained, full, high)
    at = (change, point, trained)
    cases = [BoundedValue("loss", *at, 0, loss, normal_divergence(model, reference, high))]
    gap = normal_divergence(reference, end, high - 1)
    rest = normal_divergence(end, reference, 2 * _ORDER - 1)
    # With a point less the parabola is flatter.
    constant = _CONSTANT * (_RATE / (1 - left.factor))
    for tuned in (0, 10, 25, 50, 100):
        contracted = contraction(np.array(tuned), 2 * _ORDER, constant, _RATE, _SIGMA)
        bound = float(divergence_bound(np.array(loss), contracted, _ORDER, gap, rest))
        exact = normal_divergence(left.after(tuned, model), reference, _ORDER)
        cases.append(BoundedValue("divergence", *at, tuned, bound, exact))
    if math.isfinite(loss):
        needed = steps_bound(np.array(loss), _ORDER, _EPSILON, constant, _RATE, _SIGMA, gap)
        exact_count = exact_steps(left, model, reference, _ORDER, _EPSILON + rest, _MOST)
        cases.append(BoundedValue("steps", *at, 0, float(needed), exact_count))
    return cases


def largest_share(cases: list[BoundedValue], what: str) -> float:
    """Return the largest ratio of an exact value to its bound, without tiny values."""
    own = [case for case in cases if case.what == what and math.isfinite(case.bound)]
    return max(case.exact / case.bound for case in own if case.exact > 1e-6)


def per_instance_steps(seed: int, number: int = 0) -> Chains:
    """Return losses, bounds on steps and exact steps of replacing each point by the origin, (50,).

    The points are normal numbers, and one is 5.
    """
    points = np.r_[5.0, _points(seed, number)[1:]]
    full = AffineChain.of(points, _COUNT, _RATE, _SIGMA)
    trained, epsilon = 100, 1e-4
    model = full.after(trained, _START)
    losses, exact = np.empty((2, _COUNT))
    for n, point in enumerate(points):
        left = AffineChain.of(np.r_[np.delete(points, n), 0.0], _COUNT, _RATE, _SIGMA)
        losses[n] = replacement_loss(point, _COUNT, trained, full, _RATE, 4 * _ORDER)
        reference = left.after(trained, _START)
        exact[n] = exact_steps(left, model, reference, _ORDER, epsilon, _MOST)
    bounds = steps_bound(losses, _ORDER, epsilon, _CONSTANT, _RATE, _SIGMA)
    return losses, bounds, exact


def chain_metrics(cases: list[BoundedValue]) -> dict[str, Any]:
    """Return by kind the number of bounds, the number of violations, and how loose they are.

    Infinite bounds are only counted. The ratio is bound over exact value, if the exact value
    is above a thousandth.
    """
    numbers: dict[str, Any] = {}
    for quantity in ("loss", "divergence", "steps"):
        own = [case for case in cases if case.what == quantity]
        finite = [case for case in own if math.isfinite(case.bound)]
        ratios = [case.bound / case.exact for case in finite if case.exact > 1e-3]
        numbers |= {
            f"chain_{quantity}_bounds": len(own),
            f"chain_{quantity}_bounds_infinite": len(own) - len(finite),
            f"chain_{quantity}_violations": sum(case.violated for case in own),
            f"chain_{quantity}_ratio_median": float(np.median(ratios)),
            f"chain_{quantity}_ratio_largest": float(np.max(ratios)),
        }
    return numbers
