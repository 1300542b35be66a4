"""Steps of an ascent whose information is not the curvature."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from popinv.inference.estimators.scoring import Point, ScoringState, ascend, begin, step

HESSIAN = np.array([[3.0, 1.0], [1.0, 2.0]])
TOP = np.array([1.0, -2.0])


def ascended(excess: float, distance: float) -> tuple[ScoringState, list[Point]]:
    """Ascend a quadratic whose information is too large along one direction, from far away."""
    information = HESSIAN + (excess - 1) * np.outer([1, 1], [1, 1])
    seen = []

    def evaluate(p, memory):
        off = p - TOP
        seen.append(Point(p, -off @ HESSIAN @ off / 2, -HESSIAN @ off, information))
        return seen[-1]

    both = SimpleNamespace(free=np.ones(2, bool), logarithmic=np.zeros(2, bool), scale=np.ones(2))
    return ascend(begin(evaluate(TOP + distance, {})), evaluate, both, 200), seen


def test_with_the_curvature_itself_two_steps_arrive():
    state, _ = ascended(1.0, 10.0)
    assert state.arrived
    # The first is damped by a thousandth.
    assert len(state.path) <= 4
    np.testing.assert_allclose(state.point.p, TOP, atol=0.02)


@pytest.mark.parametrize(
    ("slope", "information", "taken"),
    [(0.5, 1.0, True), (1.5, 1.0, False), (-0.5, 1.0, True), (-1.5, 100.0, False)],
)
def test_of_values_that_draws_do_not_tell_apart_the_slopes_decide(slope, information, taken):
    """A step is taken if it leads upwards on the whole, and if less is to be gained from there."""
    one = SimpleNamespace(free=np.ones(1, bool), logarithmic=np.zeros(1, bool), scale=np.ones(1))
    first = Point(np.zeros(1), 0.0, np.ones(1), np.eye(1), error=0.2)

    def evaluate(p, memory):
        return Point(p, -0.1, np.full(1, slope), np.full((1, 1), information), error=0.2)

    state = step(begin(first), evaluate, one)
    assert (len(state.path) == 2) == taken
    assert (state.damping < begin(first).damping) == taken


@pytest.mark.parametrize("excess", [8.0, 15.0])
def test_a_slow_ascent_takes_longer_steps(excess):
    state, seen = ascended(excess, 1000.0)
    assert state.arrived
    np.testing.assert_allclose(state.point.p, TOP, atol=0.1)
    # Each step alone leaves this share of the distance along the direction (1, 1).
    curvature = 1 / (np.ones(2) @ np.linalg.solve(HESSIAN, np.ones(2)))
    left = 1 - 1 / (1 + (excess - 1) / curvature)
    alone = np.log(1e-3 / 1000) / np.log(left)
    assert len(seen) < 0.5 * alone
