"""The best step within bounds, against an enumeration of what may be at its bound."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy.optimize import lsq_linear

from popinv.optimisation.bounded import bounded_step


def quadratic(n: int, spread: float, tight: float, seed: int) -> tuple[np.ndarray, ...]:
    """Return a positive matrix whose eigenvalues spread by e^(2 spread), a slope and bounds."""
    rng = np.random.default_rng(seed)
    turn = np.linalg.qr(rng.standard_normal((n, n)))[0]
    matrix = (turn * np.exp(rng.uniform(-spread, spread, n))) @ turn.T
    longest = tight * np.exp(rng.standard_normal(n))
    longest[rng.random(n) < 0.3] = np.inf
    return matrix, 3 * rng.standard_normal(n), longest


def gain(matrix: np.ndarray, slope: np.ndarray, step: np.ndarray) -> float:
    return float(slope @ step - 0.5 * step @ matrix @ step)


def best_of_all(matrix: np.ndarray, slope: np.ndarray, longest: np.ndarray) -> float:
    """Return the largest gain over all choices of entries at either bound."""
    best = 0.0
    for sides in product((-1, 0, 1), repeat=len(slope)):
        held = np.array(sides) != 0
        if np.isinf(longest[held]).any():
            continue
        step, free = np.zeros(len(slope)), ~held
        step[held] = np.array(sides)[held] * longest[held]
        rest = slope[free] - matrix[np.ix_(free, held)] @ step[held]
        step[free] = np.linalg.solve(matrix[np.ix_(free, free)], rest)
        if np.all(np.abs(step) <= longest * (1 + 1e-12)):
            best = max(best, gain(matrix, slope, step))
    return best


@pytest.mark.parametrize("n", [1, 2, 3, 5])
@pytest.mark.parametrize("tight", [0.02, 0.3, 3.0])
def test_no_choice_of_entries_at_their_bounds_gains_more(n, tight):
    for seed in range(12):
        matrix, slope, longest = quadratic(n, 2.0, tight, seed)
        step = bounded_step(matrix, slope, longest)
        assert np.all(np.abs(step) <= longest)
        best = best_of_all(matrix, slope, longest)
        assert gain(matrix, slope, step) == pytest.approx(best, rel=1e-9)


@pytest.mark.parametrize(("n", "spread"), [(15, 1.0), (4, 8.0), (15, 8.0)])
def test_many_entries_and_lopsided_curvatures_have_the_best_step_too(n, spread):
    for seed in range(100):
        matrix, slope, longest = quadratic(n, spread, 1.0, seed)
        step = bounded_step(matrix, slope, longest)
        root = np.linalg.cholesky(matrix)
        other = lsq_linear(
            root.T, np.linalg.solve(root, slope), (-longest, longest), method="bvls", tol=1e-14
        ).x
        best = gain(matrix, slope, other)
        assert gain(matrix, slope, step) >= best - 1e-7 * abs(best)


def test_an_entry_that_is_stopped_does_not_move_the_others_as_if_it_had_gone_on():
    matrix, slope = np.array([[2.0, 1.0], [1.0, 1.0]]), np.array([1.0, -1.0])
    # The joint step is (2, -3).
    np.testing.assert_allclose(bounded_step(matrix, slope, np.full(2, np.inf)), [2.0, -3.0])
    np.testing.assert_allclose(bounded_step(matrix, slope, np.array([np.inf, 1.0])), [1.0, -1.0])


def test_the_step_does_not_depend_on_units():
    matrix, slope, longest = quadratic(6, 2.0, 0.3, 3)
    units = np.exp(np.random.default_rng(0).standard_normal(6) * 3)
    there = bounded_step(matrix * np.outer(units, units), slope * units, longest / units)
    np.testing.assert_allclose(there * units, bounded_step(matrix, slope, longest), rtol=1e-8)
