"""Further populations of a synthetic study."""

from __future__ import annotations

import numpy as np

from popinv.evidence.populations import observe_again
from popinv.forward.base import Observations

WHAT = Observations(np.array([[0.2], [0.5], [0.8]]), ("x",), "u", "m")
COVARIANCE = np.array([[0.04, 0.01, 0.0], [0.01, 0.09, 0.02], [0.0, 0.02, 0.05]])


def test_the_noise_has_the_true_covariance():
    clean = np.arange(3.0) + np.zeros((4000, 3))
    observed = observe_again(clean, COVARIANCE, WHAT, seed=1, stage="systems")
    noise = observed["y"].values - clean
    # An entry of a sample covariance scatters by at most 0.09 sqrt(2 / 4000) = 0.002.
    np.testing.assert_allclose(np.cov(noise.T), COVARIANCE, atol=4 * 0.002)
    np.testing.assert_allclose(noise.mean(axis=0), 0, atol=4 * 0.3 / np.sqrt(4000))
    assert observed["y"].attrs["units"] == "m"
    assert observed.sizes["heldout_system"] == 0
    assert "noise_scale" not in observed


def test_a_row_depends_on_its_index_alone():
    many = observe_again(np.zeros((20, 3)), COVARIANCE, WHAT, 1, "systems")["y"].values
    few = observe_again(np.zeros((7, 3)), COVARIANCE, WHAT, 1, "systems")["y"].values
    np.testing.assert_array_equal(few, many[:7])
    other = observe_again(np.zeros((7, 3)), COVARIANCE, WHAT, 1, "others")["y"].values
    assert np.all(other != few)


def test_known_scales_multiply_the_noise():
    clean = np.zeros((200, 3))
    plain = observe_again(clean, COVARIANCE, WHAT, 1, "systems")["y"].values
    observed = observe_again(clean, COVARIANCE, WHAT, 1, "systems", (0.5, 2.0))
    scale = observed["noise_scale"].values
    assert 0.5 <= scale.min() < 0.7
    assert 1.5 < scale.max() <= 2.0
    np.testing.assert_allclose(observed["y"].values, scale[:, None] * plain, rtol=1e-12)


def test_failed_solves_are_left_out():
    clean = np.zeros((5, 3))
    clean[1] = np.nan
    whole = observe_again(np.zeros((5, 3)), COVARIANCE, WHAT, 1, "systems")["y"].values
    observed = observe_again(clean, COVARIANCE, WHAT, 1, "systems", (1.0, 1.0))
    np.testing.assert_allclose(observed["y"].values, whole[[0, 2, 3, 4]])
    assert observed["noise_scale"].shape == (4,)
