"""Hausman's test: its size, its power, and its words."""

from __future__ import annotations

import numpy as np
from scipy import stats
from tiers import parameters

from popinv.judgement.hausman import describe, hausman


def influences(rng, count, shift=0.0, tails=False):
    draws = rng.standard_t(4, (count, 3)) if tails else rng.standard_normal((count, 3))
    mixed = draws @ np.array([[1, 0.5, 0], [0, 1, 0.2], [0, 0, 0.1]])
    return (mixed + shift) / count


@parameters(
    "tails, sets, allowed",
    [(False, 60, (0, 9))],
    full=[(False, 200, (3, 18)), (True, 200, (3, 18))],
)
def test_its_size(tails, sets, allowed, monkeypatch):
    # The test is as exact with fewer resamples: 0.05 is the rank 10 of 201 still.
    monkeypatch.setattr("popinv.judgement.hausman._RESAMPLES", 200)
    rejected = 0
    for seed in range(sets):
        rng = np.random.default_rng(seed)
        each = influences(rng, 150, tails=tails)
        test = hausman(each.sum(axis=0), each, 0.05 * each.T @ each, rng)
        rejected += test.p_value < 0.05
    # Binomial(200, .05): 3 to 18 with probability .998; Binomial(60, .05): at most 9 with .999.
    assert allowed[0] <= rejected <= allowed[1]


def test_its_power_and_words():
    rng = np.random.default_rng(0)
    each = influences(rng, 400)
    delta = each.sum(axis=0) + np.array([0.0, 0.3, 0.0])
    test = hausman(delta, each, np.zeros((3, 3)), rng)
    assert test.p_value < 0.001
    said = describe(test, ("mean", "standard_deviation", "length"), "distance", "likelihood")
    assert "distance finds" in said
    assert "more of standard deviation" in said


@parameters("seed", [0], full=[1, 2])
def test_of_many_systems_some_are_resampled(seed, monkeypatch):
    each = influences(np.random.default_rng(seed), 4000)
    extra = 0.5 * each.T @ each
    delta = each.sum(axis=0) + np.linalg.cholesky(extra) @ np.ones(3)
    values = []
    for systems in (500, 4000):
        monkeypatch.setattr("popinv.judgement.hausman._SYSTEMS", systems)
        values.append(hausman(delta, each, extra, np.random.default_rng(9)).p_value)
    # Both null distributions are close to a chi-squared law; 2000 resamples err by 0.01.
    statistic = delta @ np.linalg.solve(1.5 * each.T @ each, delta)
    assert np.allclose(values, stats.chi2(3).sf(statistic), atol=0.05), values


def test_the_p_value_is_the_rank_among_the_resamples(monkeypatch):
    monkeypatch.setattr("popinv.judgement.hausman._RESAMPLES", 199)
    each = influences(np.random.default_rng(2), 100)
    p_values = [
        hausman(delta, each, np.zeros((3, 3)), np.random.default_rng(3)).p_value
        for delta in (np.zeros(3), np.ones(3))
    ]
    # All resamples are at least as large as no difference, none is as large as the other.
    assert p_values == [1.0, 1 / 200]


def test_what_is_held_takes_no_part():
    rng = np.random.default_rng(1)
    each = influences(rng, 300)
    each[:, 1] = 0.0
    delta = each.sum(axis=0)
    test = hausman(delta, each, np.zeros((3, 3)), rng)
    assert np.isfinite(test.statistic)
    assert test.difference[1] == 0.0
    assert describe(test, ("a", "b", "c"), "distance", "likelihood") == (
        "distance and likelihood agree"
    )
