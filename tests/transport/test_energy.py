"""The sliced energy distance against its definition, other libraries, and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.distance import cdist

from popinv.transport.energy import EnergyReference, slicing_constant
from popinv.transport.sliced import directions

SIZES = [(40, 40), (40, 25), (25, 40), (1, 7), (7, 1), (1, 1)]
LINE = np.ones((1, 1))
finite = st.floats(-1e3, 1e3, allow_nan=False)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20260714)


def definition(x: np.ndarray, y: np.ndarray) -> float:
    return 2 * cdist(x, y).mean() - cdist(x, x).mean() - cdist(y, y).mean()


def distance(x: np.ndarray, y: np.ndarray, frame: np.ndarray) -> float:
    return EnergyReference.of(x, frame).distance(y)


@pytest.mark.parametrize(("n", "m"), SIZES)
def test_in_one_dimension_it_agrees_with_scipy(rng, n, m):
    x, y = rng.standard_normal((n, 1)), 0.5 + rng.standard_normal((m, 1))
    # scipy's distance is the root of int (F - G)^2 times sqrt(2).
    expected = scipy.stats.energy_distance(x[:, 0], y[:, 0]) ** 2
    assert distance(x, y, LINE) == pytest.approx(expected, rel=1e-10)


@settings(max_examples=100, deadline=None)
@given(
    arrays(np.float64, st.tuples(st.integers(1, 15), st.just(1)), elements=finite),
    arrays(np.float64, st.tuples(st.integers(1, 15), st.just(1)), elements=finite),
)
def test_sums_over_ranks_are_the_definition(x, y):
    assert distance(x, y, LINE) == pytest.approx(definition(x, y), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("offset", [0.0, 1e4])
@pytest.mark.parametrize(("n", "m"), SIZES)
def test_it_is_the_mean_of_the_definition_over_directions(rng, n, m, offset):
    # Ties between and within the samples too.
    x = offset + np.round(rng.standard_normal((n, 3)), 1)
    y = offset + np.round(0.5 + rng.standard_normal((m, 3)), 1)
    frame = directions(rng, 7, 3)
    expected = np.mean([definition(x @ theta, y @ theta) for theta in frame.T[:, :, None]])
    assert distance(x, y, frame) == pytest.approx(expected, rel=1e-9, abs=1e-11)


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
    value = distance(x, y, directions(rng, 4000, d))
    assert value / slicing_constant(d) == pytest.approx(definition(x, y), rel=0.02)


def test_equally_spaced_directions_integrate_the_plane(rng):
    x, y = rng.standard_normal((20, 2)), rng.standard_normal((15, 2))
    angles = np.pi * np.arange(20_000) / 20_000
    value = distance(x, y, np.stack([np.cos(angles), np.sin(angles)]))
    assert value / slicing_constant(2) == pytest.approx(definition(x, y), rel=1e-6)


def test_it_is_zero_on_identical_samples(rng):
    x = rng.standard_normal((30, 3))
    value = distance(x, x[rng.permutation(30)], directions(rng, 9, 3))
    assert value == pytest.approx(0, abs=1e-14)


@pytest.mark.parametrize("where", [0, 1])
def test_what_is_not_a_number_is_passed_on(rng, where):
    samples = [rng.standard_normal((8, 1)), rng.standard_normal((5, 1))]
    samples[where][3] = np.nan
    assert np.isnan(distance(*samples, LINE))


def test_shapes_that_do_not_fit_are_refused(rng):
    x = rng.standard_normal((8, 2))
    with pytest.raises(ValueError, match="do not fit"):
        distance(x, x, directions(rng, 4, 3))
