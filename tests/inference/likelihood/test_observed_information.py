"""The steadied information: no worse than either matrix where they agree, and A where not."""

from __future__ import annotations

import numpy as np
import pytest

from popinv.inference.likelihood.marginal_estimate import steadied

N, K = 1000, 4
# Parameters of very different units.
UNITS = np.diag([1.0, 1e3, 1e-4, 1.0])


def drawn(seed, n=N, used=400, wrong=1.0, error=0.0):
    """Return curvatures and errors of some systems, the squares of all scores, and the truth."""
    rng = np.random.default_rng(seed)
    root = np.array([[1, 0.6, 0, 0], [0, 1, 0, 0.3], [0, 0, 1, 0], [0, 0, 0, 1]]) @ UNITS
    scores = rng.standard_normal((n, K)) @ root
    truth = n * root.T @ root
    # Heavy tails, as where few systems tell nearly all.
    weights = rng.gamma(0.2, 5.0, used)
    each = wrong * weights[:, None, None] * (root.T @ root)
    symmetric = error * rng.standard_normal((2, used, K, K))
    symmetric = root.T @ (symmetric + symmetric.swapaxes(2, 3)) @ root
    return each + symmetric[0], symmetric[1], scores.T @ scores, truth


def off(matrix, truth):
    """Return the error of a matrix in coordinates in which the true one is the identity."""
    back = np.linalg.inv(np.linalg.cholesky(truth))
    return np.linalg.norm(back @ matrix @ back.T - np.eye(K))


@pytest.mark.parametrize(("error", "gain"), [(0.0, 0.95), (1.0, 0.5)])
def test_under_a_right_model_noise_is_left_out(error, gain):
    errors = []
    for seed in range(40):
        each, error_of_each, squares, truth = drawn(seed, error=error)
        plain = each.sum(axis=0) * N / len(each)
        shrunk = steadied(each, error_of_each, squares, N)
        errors.append([off(matrix, truth) for matrix in (shrunk, plain, squares)])
    steady, plain, squares = np.sqrt(np.mean(np.square(errors), axis=0))
    assert steady < gain * plain
    assert steady < 1.3 * squares


def test_what_a_wrong_model_adds_stays():
    for seed in range(10):
        each, error, squares, truth = drawn(seed, wrong=3.0)
        plain = each.sum(axis=0) * N / len(each)
        assert off(steadied(each, error, squares, N), truth) > 0.8 * off(plain, truth)


def test_without_noise_it_is_the_curvature():
    each, error, squares, _ = drawn(0, used=N, wrong=1.5)
    assert off(steadied(each, error, squares, N), each.sum(axis=0)) < 1e-9


def test_no_unit_matters():
    each, error, squares, _ = drawn(1, error=0.5)
    scale = np.diag([10.0, 1e-3, 1e5, 1.0])
    moved = steadied(scale @ each @ scale, scale @ error @ scale, scale @ squares @ scale, N)
    np.testing.assert_allclose(
        moved, scale @ steadied(each, error, squares, N) @ scale, rtol=1e-6, atol=1e-12
    )


def test_scores_that_say_nothing_leave_the_curvature():
    each, error, squares, _ = drawn(2)
    squares[1], squares[:, 1] = 0.0, 0.0
    np.testing.assert_allclose(
        steadied(each, error, squares, N), each.sum(axis=0) * N / len(each), rtol=1e-12
    )


def test_of_one_parameter_it_is_the_formula_of_james_and_stein():
    rng = np.random.default_rng(3)
    each, error = 1.3 + 2 * rng.standard_normal(400), rng.standard_normal(400)
    squares = 1100.0
    found = steadied(each[:, None, None], error[:, None, None], np.array([[squares]]), N)
    plain = each.mean() * N
    off_squares = plain / squares - 1
    scatter = (np.sum(error**2) + (1 - 0.4) * np.sum((each - each.mean()) ** 2)) / squares**2
    kept = 1 - scatter / 0.4**2 / off_squares**2
    assert 0.3 < kept < 0.9
    assert found.item() == pytest.approx(squares * (1 + kept * off_squares), rel=1e-12)
