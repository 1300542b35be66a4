"""Energy distances against their definition, closed forms, and differences."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.distance import cdist

from popinv.transport.energy import (
    EnergyReference,
    couple_energy,
    energy_distance,
    projected_energy_distance,
    sliced_energy_distance,
    slicing_constant,
)
from popinv.transport.rows import evaluate_rows
from popinv.transport.sliced import directions

SIZES = [(40, 40), (40, 25), (25, 40), (1, 7), (7, 1), (1, 1)]
LINE = np.ones((1, 1))
finite = st.floats(-1e3, 1e3, allow_nan=False)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20260714)


def definition(x: np.ndarray, y: np.ndarray) -> float:
    return 2 * cdist(x, y).mean() - cdist(x, x).mean() - cdist(y, y).mean()


# --- exact ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "m"), SIZES)
@pytest.mark.parametrize("memory", [8, 1000, 32e6])
def test_energy_distance_is_its_definition_whatever_the_blocks(rng, n, m, memory):
    x, y = rng.standard_normal((n, 3)), 0.5 + rng.standard_normal((m, 3))
    assert energy_distance(x, y, memory=memory) == pytest.approx(definition(x, y), rel=1e-11)


def test_energy_distance_of_two_points_is_twice_their_distance():
    assert energy_distance(np.zeros((1, 2)), np.array([[3.0, 4.0]])) == pytest.approx(10)


def test_energy_distance_is_zero_on_identical_samples_and_symmetric(rng):
    x, y = rng.standard_normal((50, 4)), rng.standard_normal((30, 4))
    assert energy_distance(x, x[::-1]) == pytest.approx(0, abs=1e-14)
    assert energy_distance(x, y) == pytest.approx(energy_distance(y, x), rel=1e-11)


def test_energy_distance_does_not_turn_with_the_space_and_scales_as_a_length(rng):
    x, y = rng.standard_normal((50, 4)), 1 + rng.standard_normal((30, 4))
    expected, rotation = energy_distance(x, y), directions(rng, 4, 4)
    assert energy_distance(x @ rotation, y @ rotation) == pytest.approx(expected, rel=1e-10)
    assert energy_distance(3 * x + 5, 3 * y + 5) == pytest.approx(3 * expected, rel=1e-10)


def test_energy_distance_of_gaussians_approaches_its_limit(rng):
    # E|N(0, s^2)| = s sqrt(2/pi), for X - X' (s^2 = 2), Y - Y' (18) and X - Y (10).
    x, y = rng.standard_normal((4000, 1)), 3 * rng.standard_normal((4000, 1))
    limit = np.sqrt(2 / np.pi) * (2 * np.sqrt(10) - np.sqrt(2) - np.sqrt(18))
    assert energy_distance(x, y) == pytest.approx(limit, rel=0.1)


# --- sliced --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "m"), SIZES)
def test_in_one_dimension_both_agree_with_scipy(rng, n, m):
    x, y = rng.standard_normal((n, 1)), 0.5 + rng.standard_normal((m, 1))
    value, _ = sliced_energy_distance(x, y, LINE)
    assert value == pytest.approx(energy_distance(x, y), rel=1e-10)
    # scipy's distance is the root of int (F - G)^2 times sqrt(2).
    assert value == pytest.approx(scipy.stats.energy_distance(x[:, 0], y[:, 0]) ** 2, rel=1e-10)


@settings(max_examples=100, deadline=None)
@given(
    arrays(np.float64, st.tuples(st.integers(1, 15), st.just(1)), elements=finite),
    arrays(np.float64, st.tuples(st.integers(1, 15), st.just(1)), elements=finite),
)
def test_walking_the_merged_sample_is_the_definition(x, y):
    value, gradient = sliced_energy_distance(x, y, LINE)
    assert value >= 0
    assert value == pytest.approx(definition(x, y), rel=1e-9, abs=1e-9)
    # With sign(0) = 0, the derivative of the definition also holds where points coincide.
    n, m = len(x), len(y)
    expected = 2 / (n * m) * np.sign(y - x.T).sum(axis=1)
    expected -= 2 / m**2 * np.sign(y - y.T).sum(axis=1)
    np.testing.assert_allclose(gradient[:, 0], expected, atol=1e-12)


def test_slicing_constant_in_low_dimensions_and_its_limit():
    assert slicing_constant(1) == pytest.approx(1)
    assert slicing_constant(2) == pytest.approx(2 / np.pi)
    assert slicing_constant(3) == pytest.approx(1 / 2)
    assert slicing_constant(10_000) == pytest.approx(np.sqrt(2 / (np.pi * 10_000)), rel=1e-4)
    with pytest.raises(ValueError, match="at least 1"):
        slicing_constant(0)


@pytest.mark.parametrize("d", [2, 5, 20])
def test_sliced_over_the_constant_is_the_full_distance(rng, d):
    x, y = rng.standard_normal((60, d)), 0.5 + 1.5 * rng.standard_normal((40, d))
    value, _ = sliced_energy_distance(x, y, directions(rng, 4000, d))
    assert value / slicing_constant(d) == pytest.approx(energy_distance(x, y), rel=0.02)


def test_equally_spaced_directions_integrate_the_plane(rng):
    x, y = rng.standard_normal((20, 2)), rng.standard_normal((15, 2))
    angles = np.pi * np.arange(20_000) / 20_000
    value, _ = sliced_energy_distance(x, y, np.stack([np.cos(angles), np.sin(angles)]))
    assert value / slicing_constant(2) == pytest.approx(energy_distance(x, y), rel=1e-6)


@pytest.mark.parametrize(("n", "m"), SIZES)
def test_torch_gradients_of_both_samples(rng, n, m):
    a = torch.tensor(rng.standard_normal((n, 4)), requires_grad=True)
    b = torch.tensor(rng.standard_normal((m, 4)), requires_grad=True)
    assert torch.autograd.gradcheck(projected_energy_distance, (a, b))


def test_gradient_is_that_of_finite_differences(rng):
    x, y, theta = rng.standard_normal((20, 3)), rng.standard_normal((15, 3)), directions(rng, 6, 3)
    _, gradient = sliced_energy_distance(x, y, theta)
    for index in [(0, 0), (7, 1), (14, 2)]:
        shift = np.zeros_like(y)
        shift[index] = 1e-7
        up, down = (sliced_energy_distance(x, y + s * shift, theta)[0] for s in (1, -1))
        assert gradient[index] == pytest.approx((up - down) / 2e-7, abs=1e-7)


def test_sliced_is_zero_on_identical_samples(rng):
    x = rng.standard_normal((30, 3))
    value, gradient = sliced_energy_distance(x, x[rng.permutation(30)], directions(rng, 9, 3))
    assert value == pytest.approx(0, abs=1e-14)
    np.testing.assert_allclose(gradient, 0, atol=0.01)


def test_single_precision(rng):
    x, y, theta = rng.standard_normal((30, 3)), rng.standard_normal((20, 3)), directions(rng, 9, 3)
    expected, gradient = sliced_energy_distance(x, y, theta)
    value, single = sliced_energy_distance(*(z.astype(np.float32) for z in (x, y, theta)))
    assert single.dtype == np.float32
    assert value == pytest.approx(expected, rel=1e-4)
    np.testing.assert_allclose(single, gradient, atol=1e-6)


def test_the_number_of_threads_changes_no_bit(rng):
    data, model = rng.standard_normal((400, 500)), rng.standard_normal((400, 300))
    results = [
        evaluate_rows(couple_energy, data, model, data_gradient=True, threads=threads)
        for threads in (1, 2, 5)
    ]
    for other in results[1:]:
        for expected, array in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(array, expected)


@pytest.mark.parametrize("where", [0, 1])
def test_what_is_not_a_number_is_passed_on(rng, where):
    samples = [rng.standard_normal((8, 1)), rng.standard_normal((5, 1))]
    samples[where][3] = np.nan
    value, gradient = sliced_energy_distance(*samples, LINE)
    assert np.isnan(value)
    assert np.isnan(gradient).all()
    assert np.isnan(energy_distance(*samples))


def test_shapes_that_do_not_fit_are_refused(rng):
    x = rng.standard_normal((8, 2))
    for bad in (rng.standard_normal((8, 3)), x[:, 0], x[:0]):
        with pytest.raises(ValueError, match="non-empty and of shapes"):
            energy_distance(x, bad)
    with pytest.raises(ValueError, match="do not fit"):
        sliced_energy_distance(x, x, directions(rng, 4, 3))
    with pytest.raises(ValueError, match="at least one direction and one point"):
        sliced_energy_distance(x, x[:0], directions(rng, 4, 2))


@pytest.mark.parametrize("offset", [0.0, 1e4])
@pytest.mark.parametrize(("n", "m"), SIZES)
def test_a_prepared_reference_gives_the_same_distance(rng, n, m, offset):
    # Ties between and within the samples too.
    x = offset + np.round(rng.standard_normal((n, 3)), 1)
    y = offset + np.round(0.5 + rng.standard_normal((m, 3)), 1)
    frame = directions(rng, 7, 3)
    expected, _ = sliced_energy_distance(x, y, frame)
    assert EnergyReference.of(x, frame).distance(y) == pytest.approx(expected, rel=1e-9, abs=1e-12)
