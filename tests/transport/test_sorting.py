"""Sorting rows with their order, against NumPy's stable argsort."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from popinv.transport.sorting import sort_rows

finite = st.floats(-1e3, 1e3, allow_nan=False, allow_subnormal=True)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20260714)


def assert_sorted_stably(rows: np.ndarray) -> None:
    order, ordered = sort_rows(rows)
    expected = np.argsort(rows, axis=1, kind="stable")
    np.testing.assert_array_equal(order, expected)
    np.testing.assert_array_equal(ordered, np.take_along_axis(rows, expected, axis=1))


@settings(max_examples=150, deadline=None)
@given(arrays(np.float64, st.tuples(st.integers(1, 4), st.integers(1, 40)), elements=finite))
def test_sort_rows_is_a_stable_argsort(rows):
    assert_sorted_stably(rows)


@settings(max_examples=50, deadline=None)
@given(
    arrays(
        np.float32,
        st.tuples(st.integers(1, 3), st.integers(1, 40)),
        elements=st.floats(-4, 4, width=32),
    )
)
def test_sort_rows_is_a_stable_argsort_in_single_precision(rows):
    assert_sorted_stably(rows)


@pytest.mark.parametrize("offset", [0.0, 1.0, -1e6])
@pytest.mark.parametrize("spread", [1e-15, 1e-12, 1e-9, 1.0])
def test_sort_rows_orders_values_that_share_their_leading_bits(rng, offset, spread):
    assert_sorted_stably(offset + spread * rng.standard_normal((3, 5000)))
    assert_sorted_stably(offset + spread * rng.integers(-40, 40, (3, 500)))


@pytest.mark.parametrize("size", [5000, 65_537])
def test_sort_rows_orders_values_that_differ_in_their_last_bits_alone(rng, size):
    rows = 1.0 + np.finfo(float).eps * rng.integers(0, size, (2, size))
    assert_sorted_stably(rows)
    # A far entry leaves the others in one place of a short key too.
    rows[:, 0] = 1e30
    assert_sorted_stably(rows)


def test_sort_rows_treats_signed_zeros_as_equal():
    assert_sorted_stably(np.array([[0.0, -0.0, 1.0, -0.0, -1.0, 0.0]]))


@pytest.mark.parametrize("size", [1, 2, 1000, 65_536, 65_537])
def test_sort_rows_of_any_length(rng, size):
    # Beyond 2**16 entries the index leaves a short key too few bits.
    assert_sorted_stably(rng.standard_normal((2, size)))


@pytest.mark.parametrize("tail", [3.0, 10.0, 100.0])
def test_sort_rows_with_far_outliers(rng, tail):
    # A single far entry leaves all others in a few of the short key's places.
    with np.errstate(over="ignore"):
        assert_sorted_stably(np.exp(tail * rng.standard_normal((3, 2000))))
    rows = rng.standard_normal((3, 2000))
    rows[1, 7] = -(10.0**tail)
    assert_sorted_stably(rows)


def test_sort_rows_with_infinite_entries(rng):
    rows = rng.standard_normal((3, 100))
    rows[0, 3], rows[1, 5], rows[1, 6] = np.inf, -np.inf, np.inf
    assert_sorted_stably(rows)
    assert_sorted_stably(np.array([[1e308, -1e308, 0.0, 5e-324, -5e-324]]))


def test_sort_rows_keeps_every_entry_where_some_are_not_numbers(rng):
    rows = rng.standard_normal((3, 100))
    rows[1, [4, 50]] = np.nan
    order, ordered = sort_rows(rows)
    np.testing.assert_array_equal(np.sort(order, axis=1), np.tile(np.arange(100), (3, 1)))
    np.testing.assert_array_equal(ordered, np.take_along_axis(rows, order, axis=1))
    np.testing.assert_array_equal(ordered[[0, 2]], np.sort(rows[[0, 2]], axis=1))
