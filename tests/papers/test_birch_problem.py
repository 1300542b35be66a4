"""The test problem at a tiny size: tables, claims and figures from what was simulated."""

from __future__ import annotations

import csv
import math

import numpy as np
import pytest

from popinv.charts.matplotlib_writer import drawn
from popinv.store import storage
from popinv_papers.birch import claims, figures, problem, theory
from popinv_papers.birch.catalogue import METHODS, policy
from popinv_papers.birch.engine import Run, Workers
from popinv_papers.birch.objectives import quadratic
from popinv_papers.birch.regime_names import REGIMES
from popinv_papers.birch.regimes import Task
from popinv_papers.birch.theory import Promise, _square_slopes, promise


@pytest.fixture(scope="module")
def result():
    bowl = quadratic(4, 0.2)
    task = Task("quadratic", bowl, 0.2 * bowl.gap, Task.octaves(0.5, 4), 400)
    size = problem.BirchSize(4, 28, 10, (16,), tuple(METHODS))
    return problem.compare(size, [task], 1)


@pytest.mark.full
def test_every_regime_and_method_is_there(result):
    assert result["time"].shape == (5, 7, 1, 1, len(METHODS))
    arrived = result["time"].values < math.inf
    assert result["conditions"].values[arrived].all()
    assert arrived[..., list(METHODS).index("vanilla")].all()
    ratios = problem.ratios(result)
    np.testing.assert_allclose(ratios.min("algorithm"), 1.0)
    # Messages that take no time and equal workers: one gradient of each in each tick.
    fastest = result.sel(regime="classical_0", algorithm="minibatch")
    assert (fastest["time"].values % 10 == 0).all()
    varied = result.sel(regime="classical", algorithm="minibatch")
    assert len(np.unique(varied["time"].values)) == 5


KEPT = [[Promise("rennala", 1.0, 0.4, 3.0), Promise("local", 1.0, 0.5, 2.0)]] * 5
TIMES = {
    **{name: [10.0, 11, 12, 11, 10] for name in theory.OPTIMAL},
    "minibatch": [100.0, 110, 120, 130, 110],
    "vanilla": [200.0] * 5,
    "cycle": [90.0, 95, 98, 97, 90],
    **{f"own_{name}": [12.0, 13, 12, 13, 12] for name in theory.OTHERS},
}


def statuses(result, kept=KEPT, times=TIMES) -> dict[str, str]:
    return {row.claim: row.status for row in claims.claims(result, kept, times)}


def with_times(result, regime, **by_method):
    """Return the result with times of methods in a regime, and with all others' there at 10."""
    changed = result.copy(deep=True)
    rows = changed["time"].sel(regime=regime)
    for name in claims.COMPARED:
        rows.loc[{"algorithm": name}] = by_method.get(name, 10.0)
    return changed


@pytest.mark.full
def test_statuses_follow_the_times(result):
    equal = with_times(result, "classical_0", minibatch=9.0)
    key = "heterogeneous compute: the slowest of the compared"

    def of(changed, start=key):
        return next(s for words, s in statuses(changed).items() if words.startswith(start))

    assert of(with_times(equal, "heterogeneous_compute", minibatch=50.0)) == "holds"
    assert of(with_times(equal, "heterogeneous_compute", minibatch=9.0)) == "does not hold"
    # If Synchronized SGD is the slowest of equal workers too, the regime tells nothing.
    slow = with_times(result, "classical_0", minibatch=50.0)
    assert of(with_times(slow, "heterogeneous_compute", minibatch=50.0)) == "not comparable"
    first = "heterogeneous compute: the fastest of the compared"
    ahead = {"async_local": 5.0, "ringmaster": 6.0}
    assert of(with_times(equal, "heterogeneous_compute", **ahead), first) == "holds"
    behind = {"async_local": 5.0, "ringmaster": 11.0}
    assert of(with_times(equal, "heterogeneous_compute", **behind), first) == "does not hold"


@pytest.mark.full
def test_a_promise_is_that_of_the_worst_method(result):
    def of(kept, times=TIMES, start="the step size"):
        return next(s for w, s in statuses(result, kept, times).items() if w.startswith(start))

    assert of(KEPT) == "holds"
    broken = [[one[0], Promise("local", 1.0, 1.5, 2.0)] for one in KEPT]
    assert of(broken) == "does not hold"
    slow = TIMES | {"nested_local_async": [30.0, 31, 32, 30, 31]}
    assert of(KEPT, slow, "optimal in time: Local") == "does not hold"
    assert of(KEPT, slow, "optimal in time: Rennala") == "holds"
    assert of(KEPT, TIMES, "not optimal in time: Cycle") == "holds"
    assert of(KEPT, TIMES | {"cycle": [9.0] * 5}, "not optimal") == "does not hold"


@pytest.mark.full
def test_metrics_are_means_over_the_seeds(result):
    numbers = claims.metrics(result, KEPT, TIMES)
    assert numbers["promise_local"] == pytest.approx(0.5)
    assert numbers["over_least_time_minibatch"] == pytest.approx(114)
    assert numbers["over_own_bound_cycle"] == pytest.approx(12.4)
    assert numbers["slowest_over_fastest_at_variation_0.3"] >= 1
    expected = problem.ratios(result).sel(regime="classical", algorithm="local").mean()
    assert numbers["classical_local_over_fastest"] == pytest.approx(float(expected))


@pytest.mark.full
def test_the_result_is_stored_with_units_and_names(result, tmp_path):
    storage.save(result, tmp_path / "result.zarr.zip", config={}, seed=1, created_by="test")
    stored = storage.load(tmp_path / "result.zarr.zip")
    assert stored["seed"].values.tolist() == [1, 2, 3, 4, 5]
    np.testing.assert_array_equal(stored["time"], result["time"])


@pytest.mark.full
def test_tables_and_figures(result, tmp_path):
    claims.write_table(result, "classical", tmp_path / "t.csv")
    rows = list(csv.DictReader((tmp_path / "t.csv").open()))
    assert [row["method"] for row in rows] == [m.title for m in METHODS.values()]
    assert float(rows[0]["quadratic, 16 workers"]) > 0
    trees = problem.small_trees()
    assert set(trees) == set(METHODS)
    assert len(drawn(figures.draw_trees(trees)).axes) >= len(METHODS)
    lines = drawn(figures.draw_variation(result)).axes[0].lines
    assert lines[0].get_xdata().tolist() == [0, 0.1, 0.3, 1]
    for regime in REGIMES:
        assert len(drawn(figures.draw_regime(result, regime)).axes[0].lines) == len(METHODS) + 1


def test_the_theorem_keeps_its_promise():
    for kept in promise(quadratic(10, 0.3), 1):
        assert kept.mean <= kept.accuracy < kept.early


def test_slopes_of_the_promise_are_those_of_exact_descent():
    exact, rate = quadratic(6, 0.0), 0.5
    run = Run(Workers((1.0,), (0.0,)), policy("vanilla", 1, {}))
    run.until(5)
    task = Task("exact", exact, 0.0, (rate,), 5)
    squares = _square_slopes(run, task, np.arange(4), 1)
    matrix = 0.25 * (2 * np.eye(6) - np.eye(6, k=1) - np.eye(6, k=-1))
    x, expected = exact.start.copy(), []
    for _ in range(4):
        slope = matrix @ x + 0.25 * np.eye(6)[0]
        expected.append(slope @ slope)
        x = x - rate * slope
    np.testing.assert_allclose(squares, expected)


# --- complexity ----------------------------------------------------------------------------------


def test_the_least_time_is_that_of_the_best_number_of_workers():
    one = theory.ProblemConstants(1.0, 4.0, 64.0, 1.0)
    # Equal workers all help: h (L Delta/eps + sigma^2 L Delta/(n eps^2)).
    assert theory.least_time(one, (3.0,) * 8) == pytest.approx(3 * (4 + 4 * 64 / 8))
    # A worker that takes forever is left out, whatever its place.
    assert theory.least_time(one, (1e9, 3.0, 3.0)) == pytest.approx(3 * (4 + 4 * 64 / 2))
    pair = (1.0, 3.0)
    both = 2 / (1 + 1 / 3) * (4 + 4 * 64 / 2)
    assert theory.least_time(one, pair) == pytest.approx(min(4 + 4 * 64, both))


def test_bounds_of_methods_that_wait_have_the_slowest_worker():
    one = theory.ProblemConstants(1.0, 4.0, 64.0, 1.0)
    assert theory.own_time("vanilla", one, (3.0, 1.0)) == pytest.approx(4 + 4 * 64)
    for name in ("minibatch", "cycle"):
        assert theory.own_time(name, one, (3.0, 1.0)) == pytest.approx(3 * (4 + 4 * 64 / 2))
    for name in theory.OPTIMAL:
        assert theory.own_time(name, one, (3.0, 1.0)) == theory.least_time(one, (3.0, 1.0))


def test_equal_workers_take_the_theorems_gradients_in_turn():
    workers = Workers((2.0,) * 128, (0.0,) * 128)
    over = theory.time_over("local", workers, theory.least_time)
    least = theory.least_time(theory.PROBLEM, workers.compute)
    rounds = math.ceil(theory.gradients(theory.PROBLEM, 63) / 64)
    # Each round of 64 of 128 workers takes one gradient's time; the others' are dropped.
    assert over == pytest.approx(2 * rounds / least, rel=0.5)


@pytest.mark.full
@pytest.mark.parametrize("name", theory.OPTIMAL)
@pytest.mark.parametrize("family", theory.FAMILIES)
def test_optimal_methods_stay_near_the_lower_bound(name, family):
    for count in theory.COUNTS:
        workers = theory.workers_in(family, count, 1)
        assert theory.time_over(name, workers, theory.least_time) < 24


def test_waiting_for_all_is_far_from_the_lower_bound_but_not_from_its_own():
    workers = theory.workers_in("geometric", 32, 1)
    for name in ("minibatch", "cycle"):
        assert theory.time_over(name, workers, theory.least_time) > 1000

        def own(problem, compute, name=name):
            return theory.own_time(name, problem, compute)

        assert theory.time_over(name, workers, own) < 24


def test_settings_are_those_of_the_theory():
    # sigma^2/eps = 64: M = 64/n, M G = 64, s = n^2/64.
    assert theory.settings_for("async_local", 8) == {"steps": 8, "delay": 8}
    assert theory.settings_for("async_batch", 128) == {"steps": 1, "delay": 64}
    assert theory.settings_for("cycle", 32) == {"group": 16}
    assert theory.settings_for("cycle", 8) == {"group": 1}
    assert theory.settings_for("vanilla", 8) == {}


# --- times that vary -----------------------------------------------------------------------------


def test_times_that_vary_have_their_mean_and_variation():
    workers = Workers((10.0,), (0.0,), 0.3, 1)
    run = Run(workers, policy("vanilla", 1, {}))
    run.until(4000)
    times = np.diff(run.tree.time)
    assert times.mean() == pytest.approx(10, rel=0.02)
    assert times.std() == pytest.approx(3, rel=0.05)
    again = Run(Workers((10.0,), (0.0,), 0.3, 1), policy("vanilla", 1, {}))
    again.until(4000)
    assert again.now == run.now
    other = Run(Workers((10.0,), (0.0,), 0.3, 2), policy("vanilla", 1, {}))
    other.until(4000)
    assert other.now != run.now
