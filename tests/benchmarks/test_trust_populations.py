"""Populations by which verdicts and intervals are judged, and the shares that pages state."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest
from tiers import parameters, thinned

from benchmarks.trust.coverage import covered
from benchmarks.trust.populations import MISTAKES, NOISE, drawn, model
from benchmarks.trust.right_models import COVERED, RIGHT

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
    rests = rest(mistake)
    # What is missing has changed, too.
    assert np.nanmax(np.abs(rests)) > 0.1 or np.isnan(rests).any()


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


def test_a_column_that_the_model_does_not_use_is_in_its_table():
    population = drawn("batches", 30, 1)
    table = model(population, "batches")["data"]
    assert table.groupby("batch")["system"].nunique().tolist() == [10, 10, 10]
    np.testing.assert_array_equal(table["y"].to_numpy().reshape(30, 10), population.y)


@pytest.mark.parametrize("name", RIGHT | COVERED)
def test_a_right_model_has_its_moments(name):
    """The mean of many systems is that of a simulation of its own; the noise averages out."""
    own = (RIGHT | COVERED)[name]
    y = own.drawn(np.random.default_rng(4), 40_000)
    quiet = replace(own, noise=replace(own.noise, drawn=lambda rng, signal: 0 * signal))
    signal = quiet.drawn(np.random.default_rng(4), 40_000)
    assert np.abs((y - signal).mean(axis=0)).max() < 0.02 * signal.std()
    size = own.noise.truth["noise_standard_deviation"]
    grows = "errors" in own.noise.section
    relative = (y - signal) / (signal if grows else 1)
    np.testing.assert_allclose(relative.std(axis=0), size, rtol=0.03)


@parameters("name", *thinned(COVERED, 6))
def test_every_interval_of_a_model_is_judged(name):
    found = covered(name, 14, 3)
    assert set(found["holds"]) <= set(COVERED[name].truth)
    assert len(found["holds"]) >= 5
    assert found["estimator"] == "likelihood"


def test_a_share_has_the_interval_of_clopper_and_pearson():
    exact = binomtest(3, 20).proportion_ci(method="exact")
    assert share(3, 20) == f"15 % ({100 * exact.low:.0f} to {100 * exact.high:.0f})"
    assert share(0, 20) == "0 % (0 to 17)"
    assert share(20, 20) == "100 % (83 to 100)"
