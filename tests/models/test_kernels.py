"""Compiled kernels of the finite-element models against NumPy, and their failures."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import cholesky

from popinv_models.finite_elements.banded import empty_factors, factorise, place, solve_factorised
from popinv_models.porous_flow.kernels import exponentiate, rounding_bounds


def banded(unknowns: int, bandwidth: int) -> np.ndarray:
    """Return a positive definite matrix of this bandwidth."""
    rng = np.random.default_rng(0)
    factor = np.tril(rng.standard_normal((unknowns, unknowns)))
    factor /= 1 + np.sqrt(bandwidth)
    factor += 3 * np.eye(unknowns)
    factor[np.subtract.outer(np.arange(unknowns), np.arange(unknowns)) > bandwidth] = 0
    return factor @ factor.T


def factors(matrix: np.ndarray, bandwidth: int):
    """Return the outcome of `factorise`, and the factors."""
    n = len(matrix)
    distance = np.subtract.outer(np.arange(n), np.arange(n))
    rows, columns = np.nonzero((distance >= 0) & (distance <= bandwidth))
    room = empty_factors(n, bandwidth)
    place(matrix[rows, columns], rows, columns, room)
    return factorise(room), room


# Fewer and more columns than a panel, and more rows than are copied together.
@pytest.mark.parametrize(
    ("unknowns", "bandwidth"),
    [(1, 0), (3, 1), (8, 7), (9, 5), (23, 9), (40, 16), (50, 8), (700, 300)],
)
def test_factorised_systems_are_solved(unknowns, bandwidth):
    matrix = banded(unknowns, bandwidth)
    failed, room = factors(matrix, bandwidth)
    assert failed == 0
    np.testing.assert_allclose(
        1 / room.pivots[:unknowns], np.diag(cholesky(matrix, lower=True)) ** 2, rtol=1e-12
    )
    right = np.random.default_rng(1).standard_normal(unknowns)
    for vector in (right, right[::-1].copy()):  # nothing is left over from the solve before
        expected = np.linalg.solve(matrix, vector)
        solve_factorised(room, vector)
        np.testing.assert_allclose(vector, expected, rtol=1e-11, atol=1e-12)


def test_a_solution_out_of_range_leaves_nothing_to_the_next_system():
    _, room = factors(banded(9, 5), 5)
    expected = np.ones(9)
    solve_factorised(room, expected)
    solve_factorised(room, np.full(9, np.inf))
    again = np.ones(9)
    solve_factorised(room, again)
    np.testing.assert_array_equal(again, expected)


@pytest.mark.parametrize("pivot", [-1.0, 0.0, np.nan, np.inf])
@pytest.mark.parametrize("at", [0, 3, 5])
def test_a_pivot_that_is_not_positive_and_finite_is_named(pivot, at):
    matrix = np.diag([2.0, 3.0, 4.0, 5.0, 6.0, 7.0])
    matrix[at, at] = pivot
    assert factors(matrix, 2)[0] == at + 1


def test_exponentials_have_their_bounds():
    values = np.array([[0.0, 1.0, -2.0], [800.0, 0.0, -800.0], [1.0, np.nan, 5.0]])
    given = values.copy()
    lowest, highest = exponentiate(values)
    with np.errstate(over="ignore"):
        expected = np.exp(given)
    np.testing.assert_allclose(values[:2], expected[:2], rtol=1e-15)
    np.testing.assert_array_equal(lowest, [values[0, 2], 0.0, np.nan])
    np.testing.assert_array_equal(highest, [values[0, 1], np.inf, np.nan])


def test_rounding_bounds_are_those_of_the_formula():
    matrix = np.array([[3.0, -1.0, 0.0], [-1.0, 4.0, -2.0], [0.0, -2.0, 5.0]])
    rows, columns = np.nonzero(np.tril(matrix))
    solution, load = np.array([1.0, -2.0, 3.0]), np.array([0.5, 1.0, 2.0])
    vectors = np.stack([solution, [np.nan, 1.0, 1.0], np.zeros(3)])
    entries = np.tile(matrix[rows, columns], (3, 1))
    found = rounding_bounds(entries, rows, columns, vectors, load)
    expected = 2.0**-52 * (np.abs(matrix) @ np.abs(solution) / load).max()
    np.testing.assert_allclose(found, [expected, np.inf, 0.0], rtol=1e-14)
