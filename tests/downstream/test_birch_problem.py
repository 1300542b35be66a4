"""The test problem at a tiny size: tables, claims and figures from what was simulated."""

from __future__ import annotations

import csv
import math

import pytest

from popinv.downstream.birch import claims, figures, problem
from popinv.downstream.birch.catalogue import METHODS
from popinv.downstream.birch.objectives import quadratic
from popinv.downstream.birch.regimes import REGIMES, Task


@pytest.fixture(scope="module")
def result():
    bowl = quadratic(4, 0.2)
    task = Task("quadratic", bowl, 0.2 * bowl.gap, Task.octaves(0.5, 4), 400)
    size = problem.Size(4, 28, 10, (16,))
    return problem.compare(size, [task], 1)


def test_every_regime_and_method_is_there(result):
    assert result["time"].shape == (4, 1, 1, len(METHODS))
    arrived = result["time"].values < math.inf
    assert result["conditions"].values[arrived].all()
    assert arrived[..., list(METHODS).index("vanilla")].all()
    ratios = problem.ratios(result)
    assert float(ratios.min()) == pytest.approx(1.0)
    # Messages that take no time and equal workers: one gradient of each in each tick.
    fastest = result.sel(regime="classical", algorithm="minibatch")
    assert float(fastest["time"].squeeze()) % 10 == 0


def test_claims_follow_the_numbers(result):
    kept = [problem.Promise("rennala", 1.0, 2.0), problem.Promise("local", 1.0, 0.5)]
    rows = claims.claims(result, [], kept)
    assert [c.holds for c in rows[-2:]] == [False, True]
    # With the times of two methods exchanged, the verdict on the slowest changes.
    worst = next(c for c in rows if c.claim == "heterogeneous compute: slowest of the compared")
    assert worst.holds
    names = list(METHODS)
    turned = result.copy(deep=True)
    turned["time"].values[..., names.index("minibatch")] = 0.01
    again = claims.claims(turned, [], [])
    assert not next(c for c in again if c.claim == worst.claim).holds
    assert claims.metrics(turned, [], kept)["classical_fastest"] == "minibatch"


def test_tables_and_figures(result, tmp_path):
    claims.write_table(result, "classical", tmp_path / "t.csv")
    rows = list(csv.DictReader((tmp_path / "t.csv").open()))
    assert [row["method"] for row in rows] == [m.title for m in METHODS.values()]
    assert float(rows[0]["quadratic, 16 workers"]) > 0
    trees = problem.small_trees()
    assert set(trees) == set(METHODS)
    assert len(figures.draw_trees(trees).axes) >= len(METHODS)
    for regime in REGIMES:
        assert len(figures.draw_regime(result, regime).axes[0].lines) == len(METHODS) + 1


def test_the_theorem_keeps_its_promise():
    for kept in problem.promise(quadratic(10, 0.3), 1):
        assert kept.mean <= kept.accuracy
