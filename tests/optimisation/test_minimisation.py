"""Minima in closed form, and functions without one."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from popinv.errors import DivergenceError
from popinv.optimisation.minimisation import minimise


def test_a_quadratic_is_solved():
    matrix = torch.tensor([[3.0, 1.0], [1.0, 2.0]], dtype=torch.float64)
    vector = torch.tensor([1.0, -1.0], dtype=torch.float64)
    minimum = minimise(lambda x: 0.5 * x @ matrix @ x - vector @ x, np.array([5.0, 5.0]))
    np.testing.assert_allclose(minimum, np.linalg.solve(matrix, vector), atol=1e-5)


def test_a_matrix_that_stops_being_positive_definite_shortens_the_step():
    # -log det diag(x) + sum x has its minimum at 1; a first step from 0.01 would leave x > 0.
    def function(x):
        factor = torch.linalg.cholesky(torch.diag(x))
        return x.sum() - 2 * torch.log(torch.diagonal(factor)).sum()

    np.testing.assert_allclose(minimise(function, np.array([0.01, 3.0])), 1.0, rtol=1e-4)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_function_that_is_not_finite_is_an_error(value):
    with pytest.raises(DivergenceError, match="not finite"):
        minimise(lambda x: value * (1 + x.sum()), np.zeros(2))
