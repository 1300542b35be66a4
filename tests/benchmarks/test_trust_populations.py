"""Populations by which verdicts and intervals are judged, and the shares that pages state."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest
from tiers import parameters, thinned

from benchmarks.trust.coverage import POPULATIONS, covered
from benchmarks.trust.populations import MISTAKES, NOISE, drawn, model

sys.path.insert(0, str(Path(__file__).parents[2] / "docs"))

from tables.trust import share


def rest(mistake: str) -> np.ndarray:
    """Return the noise of a large population, in units of its standard deviation."""
    same = drawn(mistake, 20_000, 1), drawn("none", 20_000, 1)
    assert len(same[0].y) == 20_000
    # Both have the same parameters where only the noise differs.
    return (same[0].y - same[1].y) / NOISE


@pytest.mark.parametrize("mistake", [name for name in MISTAKES if name != "none"])
def test_every_mistake_changes_the_observations(mistake):
    assert np.abs(rest(mistake)).max() > 0.1


def test_populations_have_the_stated_size_and_are_the_same_again():
    one, again, other = drawn("none", 30, 1), drawn("none", 30, 1), drawn("none", 30, 2)
    assert one.y.shape == (30, 10)
    np.testing.assert_array_equal(one.y, again.y)
    assert np.abs(one.y - other.y).max() > 0.1


def test_an_offset_is_half_the_noise():
    np.testing.assert_allclose(rest("offset"), 0.5, atol=1e-9)


def test_the_known_quantity_is_given_where_it_is_a_mistake_to_ignore_it():
    population = drawn("known_effect", 10, 1)
    assert model(population, "known_effect")["law"]["covariates"] == {"size": ["known"]}
    assert "known" not in model(population, "none")


@parameters("name", *thinned(POPULATIONS, 3))
def test_every_interval_of_a_population_is_judged(name):
    found = covered(name, 14, 3)
    assert set(found["holds"]) == set(POPULATIONS[name]().names)
    assert found["passes"]


def test_a_share_has_the_interval_of_clopper_and_pearson():
    exact = binomtest(3, 20).proportion_ci(method="exact")
    assert share(3, 20) == f"15 % ({100 * exact.low:.0f} to {100 * exact.high:.0f})"
    assert share(0, 20) == "0 % (0 to 17)"
    assert share(20, 20) == "100 % (83 to 100)"
