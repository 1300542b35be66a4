"""Draws are addressed by (seed, stage, index) alone."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from popinv.seeds import generator, generators, standard_normal_rows


@given(start=st.integers(0, 50), cut=st.integers(0, 20), count=st.integers(0, 20))
def test_rows_do_not_depend_on_the_range_they_are_asked_for_in(start, cut, count):
    whole = standard_normal_rows(3, "stage", start, cut + count, 4)
    first = standard_normal_rows(3, "stage", start, cut, 4)
    second = standard_normal_rows(3, "stage", start + cut, count, 4)
    np.testing.assert_array_equal(whole, np.concatenate([first, second]))


@given(
    seed=st.integers(0, 2**64),
    stage=st.text(max_size=20),
    cuts=st.lists(st.integers(0, 30), max_size=6).map(sorted),
)
def test_any_split_into_chunks_gives_the_same_rows(seed, stage, cuts):
    whole = standard_normal_rows(seed, stage, 0, 30, 3)
    ends = [0, *cuts, 30]
    parts = [
        standard_normal_rows(seed, stage, start, stop - start, 3) for start, stop in pairwise(ends)
    ]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    np.testing.assert_array_equal(standard_normal_rows(seed, stage, 0, 17, 3), whole[:17])
    assert np.isfinite(whole).all()
    assert len(np.unique(whole)) == whole.size


@given(seed=st.integers(0, 2**64), stage=st.text(max_size=20), index=st.integers(0, 2**63))
def test_an_address_gives_the_same_draws_whatever_was_drawn_before(seed, stage, index):
    first = generator(seed, stage, index).standard_normal(4)
    generator(seed, stage, index + 1).standard_normal(100)
    np.testing.assert_array_equal(generator(seed, stage, index).standard_normal(4), first)


def test_seed_stage_and_index_each_change_the_draws():
    draws = [
        generator(1, "a").standard_normal(),
        generator(2, "a").standard_normal(),
        generator(1, "b").standard_normal(),
        generator(1, "a", 1).standard_normal(),
    ]
    assert len(set(draws)) == 4
    assert generator(1, "a").standard_normal() == draws[0]


def test_streams_of_neighbouring_indices_do_not_overlap():
    long = generator(1, "a", 0).integers(2**63, size=10_000)
    other = generator(1, "a", 1).integers(2**63, size=10_000)
    assert not set(long.tolist()) & set(other.tolist())


def test_rows_are_standard_normal():
    rows = standard_normal_rows(1, "normal", 0, 4000, 5).ravel()
    # Standard errors at 20000 draws: mean .007, variance .01, kurtosis .035; four of each.
    assert abs(rows.mean()) < 0.03
    assert abs(rows.var() - 1) < 0.04
    assert abs((rows**4).mean() / rows.var() ** 2 - 3) < 0.14


def test_generators_of_a_range_draw_what_each_of_them_draws_alone():
    """Whatever was drawn from one before, also half of a word."""
    for index, rng in zip([4, 0, 7], generators(3, "stage", [4, 0, 7]), strict=True):
        alone = generator(3, "stage", index)
        for kind in (np.uint32, np.uint64, np.uint32):
            assert rng.integers(2**32, dtype=kind) == alone.integers(2**32, dtype=kind)
        np.testing.assert_array_equal(rng.standard_normal(index), alone.standard_normal(index))
