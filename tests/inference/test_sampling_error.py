"""The covariance of the sampling error, from repeated solves."""

from __future__ import annotations

import numpy as np
import pytest

from popinv.errors import SolverError
from popinv.inference.uncertainty.sampling_error import (
    sampling_error_dataset,
    sampling_error_share,
    within_system_covariance,
)

S = np.array([[1.0, 0.6, 0.0], [0.6, 2.0, -0.3], [0.0, -0.3, 0.5]])


def repeats(count, systems, seed=0):
    rng = np.random.default_rng(seed)
    between = 10 * rng.standard_normal((systems, 3))
    return between + rng.standard_normal((count, systems, 3)) @ np.linalg.cholesky(S).T


def test_the_spread_between_systems_does_not_count():
    covariance, error = within_system_covariance(repeats(4, 3000))
    # Five standard errors of an entry, which are those of a Wishart mean:
    # Var(S_ij) = (S_ii S_jj + S_ij^2) / ((repeats - 1) systems).
    d = np.diag(S)
    exact = np.sqrt((np.outer(d, d) + S**2) / (3 * 3000))
    assert np.all(np.abs(covariance - S) < 5 * exact)
    # A standard deviation from 3000 heavy-tailed draws.
    np.testing.assert_allclose(error, exact, rtol=0.15)


def test_two_repeats_are_unbiased():
    # (y_1 - y_2)^2 / 2, worked out by hand.
    y = np.array([[[1.0], [5.0]], [[3.0], [5.0]]])
    covariance, error = within_system_covariance(y)
    assert covariance[0, 0] == pytest.approx((2.0 + 0.0) / 2)
    assert error[0, 0] == pytest.approx(np.std([2.0, 0.0], ddof=1) / np.sqrt(2))


def test_systems_with_a_failed_solve_are_left_out():
    y = repeats(3, 20)
    whole, _ = within_system_covariance(y[:, 1:])
    y[1, 0] = np.nan
    np.testing.assert_array_equal(within_system_covariance(y)[0], whole)
    dataset = sampling_error_dataset(y)
    assert (dataset.attrs["systems"], dataset.attrs["repeats"]) == (19, 3)
    np.testing.assert_array_equal(dataset["sampling_error_covariance"], whole)
    y[0, 1:19] = np.nan
    with pytest.raises(SolverError, match="Only 1 of 20 systems"):
        within_system_covariance(y)


def test_share_and_error_against_the_sum():
    noise = np.diag([2.0, 8.0])
    found = sampling_error_share(noise, np.diag([1.0, 2.0]), np.diag([1.0, 6.0]))
    assert found.share == pytest.approx((1 / 2 + 2 / 8) / 2)
    assert found.error_of_sum == 0
    # The share does not depend on the units of the observations.
    units = np.diag([1e3, 1e-3])
    scaled = sampling_error_share(units @ noise @ units, units @ np.diag([1.0, 2.0]) @ units)
    assert scaled.share == pytest.approx(found.share)


def test_what_was_taken_off_is_beside_the_noise_and_not_in_it():
    found = sampling_error_share(
        np.diag([1.0, 6.0]), np.diag([1.0, 2.0]), np.diag([1.0, 6.0]), taken_off=True
    )
    assert found.share == pytest.approx((1 / 2 + 2 / 8) / 2)
    assert found.error_of_sum is None


def test_the_systems_noise_scales_are_taken_into_account():
    # Noise of scale 2 everywhere: what is recovered at scale 1 holds a quarter of the sampling
    # error.
    found = sampling_error_share(np.eye(2), 0.8 * np.eye(2), 0.8 * np.eye(2), 4.0)
    assert found.share == pytest.approx(0.2)
    assert found.error_of_sum == pytest.approx(0, abs=1e-12)
