import numpy as np
import pytest

from popinv.surrogate.design import recency_weights, whitened_rmse


def test_recency_weights_fall_by_the_decay_from_round_to_round():
    rounds = np.repeat([0, 1, 2], 4)
    w = recency_weights(rounds, 2, 0.5)
    np.testing.assert_allclose(w, np.repeat([1, 2, 4], 4) / 28)


def test_a_round_weighs_the_same_however_many_of_its_solves_succeeded():
    w = recency_weights(np.array([0] * 10 + [1] * 3), 1, 0.5)
    np.testing.assert_allclose([w[:10].sum(), w[10:].sum()], [1 / 3, 2 / 3])


def test_recency_weights_at_the_ends_of_decay():
    rounds = np.array([0, 2, 2, 1])
    np.testing.assert_allclose(recency_weights(rounds, 2, 0.0), [0, 0.5, 0.5, 0])
    np.testing.assert_allclose(recency_weights(rounds, 2, 1.0), np.array([2, 1, 1, 2]) / 6)


def test_a_current_round_without_rows_leaves_the_older_ones():
    np.testing.assert_allclose(recency_weights(np.array([0, 1]), 5, 0.0), [0, 1])


@pytest.mark.parametrize(
    ("rounds", "current", "decay"), [([0, 3], 2, 0.5), ([], 0, 0.5), ([0], 0, 1.5), ([0], 0, -0.1)]
)
def test_recency_weights_refuse_what_has_no_meaning(rounds, current, decay):
    with pytest.raises(ValueError, match=r"round|decay"):
        recency_weights(np.array(rounds, dtype=int), current, decay)


def test_whitened_rmse_of_noise_itself_is_one():
    rng = np.random.default_rng(0)
    a = rng.standard_normal((6, 6))
    factor = np.linalg.cholesky(a @ a.T + np.eye(6))
    truth = rng.standard_normal((20_000, 6))
    noisy = truth + rng.standard_normal(truth.shape) @ factor.T
    assert whitened_rmse(noisy, truth, factor) == pytest.approx(1, abs=0.01)
    assert whitened_rmse(truth, truth, factor) == 0


def test_whitened_rmse_equals_the_quadratic_form():
    rng = np.random.default_rng(1)
    a = rng.standard_normal((3, 3))
    covariance = a @ a.T + np.eye(3)
    error = rng.standard_normal((5, 3))
    direct = np.sqrt(np.mean([e @ np.linalg.inv(covariance) @ e for e in error]) / 3)
    value = whitened_rmse(error, np.zeros((5, 3)), np.linalg.cholesky(covariance))
    assert value == pytest.approx(direct)


def test_whitened_rmse_refuses_shapes_that_do_not_agree():
    with pytest.raises(ValueError, match="truth"):
        whitened_rmse(np.zeros((2, 3)), np.zeros((1, 3)), np.eye(3))
    with pytest.raises(ValueError, match="cholesky"):
        whitened_rmse(np.zeros((2, 3)), np.zeros((2, 3)), np.eye(2))
