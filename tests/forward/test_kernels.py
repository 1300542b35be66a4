"""Compiled kernels of the finite-element models against NumPy, and their failures."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import cholesky

from popinv.forward.elastodynamics.kernels import factorise
from popinv.forward.porous_flow.kernels import exponentiate, rounding_bounds

BANDWIDTH = 2


def lower_triangle(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return entries, rows and columns of the lower band."""
    rows, columns = np.nonzero(np.tril(np.abs(np.subtract.outer(*2 * [np.arange(6)])) <= BANDWIDTH))
    return matrix[rows, columns], rows.astype(np.int32), columns.astype(np.int32)


def banded() -> np.ndarray:
    rng = np.random.default_rng(0)
    factor = np.tril(rng.standard_normal((6, 6))) + 3 * np.eye(6)
    factor[np.subtract.outer(np.arange(6), np.arange(6)) > BANDWIDTH] = 0
    return factor @ factor.T


def factors(matrix: np.ndarray) -> tuple[int, np.ndarray, np.ndarray]:
    band, transposed = np.empty((6, BANDWIDTH + 1)), np.empty((6, BANDWIDTH))
    return factorise(*lower_triangle(matrix), band, transposed), band, transposed


def test_the_factors_are_those_of_cholesky():
    matrix = banded()
    failed, band, transposed = factors(matrix)
    root = cholesky(matrix, lower=True)
    assert failed == 0
    np.testing.assert_allclose(1 / band[:, 0], np.diag(root) ** 2, rtol=1e-12)
    unit = root / np.diag(root)
    for k in range(1, BANDWIDTH + 1):
        np.testing.assert_allclose(band[: 6 - k, k], np.diag(unit, -k), rtol=1e-11, atol=1e-14)
        np.testing.assert_allclose(
            transposed[k:, BANDWIDTH - k], np.diag(unit, -k), rtol=1e-11, atol=1e-14
        )


@pytest.mark.parametrize("pivot", [-1.0, 0.0, np.nan, np.inf])
@pytest.mark.parametrize("place", [0, 3])
def test_a_pivot_that_is_not_positive_and_finite_is_named(pivot, place):
    matrix = np.diag([2.0, 3.0, 4.0, 5.0, 6.0, 7.0])
    matrix[place, place] = pivot
    assert factors(matrix)[0] == place + 1


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
