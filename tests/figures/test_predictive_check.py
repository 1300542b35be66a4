"""Statistics of the data, and their own ranges over data sets of the fitted model."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from studies import LINE, Study, exact, further_data_sets, line_study, make_study, over_time
from tiers import parameters

from popinv import workers
from popinv.figures.arrangement import arrangement
from popinv.figures.predictive_check import PredictiveCheck, bins_of, predictive_check
from popinv.figures.simulated import LEVELS, DataSets, covariance, quantiles, some_systems
from popinv.population.laws.gaussian import normal_law
from popinv.population.noise.unstructured import IsotropicNoise
from popinv.workers import processes

REPEATS = 400


@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_under_a_right_model_the_quantiles_lie_in_their_ranges(missing: float) -> None:
    study = exact(line_study(missing=missing))
    check = predictive_check(study.problem, study.loaded)
    inside, old = np.zeros(3), np.zeros(3)
    for y in further_data_sets(study, REPEATS):
        own = quantiles(y)
        inside += np.mean((own >= check.ranges.low) & (own <= check.ranges.high), axis=1) / REPEATS
        # The sampling range of a median of normal numbers, behind the difference of each quantile.
        half = (
            1.96 * np.sqrt(np.pi / 2) * np.nanstd(y, axis=0) / np.sqrt((~np.isnan(y)).sum(axis=0))
        )
        old += np.mean(np.abs(own - check.ranges.middle) <= half, axis=1) / REPEATS
    # The ends are order statistics of 399 data sets, which leaves a standard error of a hundredth
    # to the share of each range; six ranges share some of it.
    np.testing.assert_allclose(inside, 0.95, atol=0.02)
    assert old[1] > 0.9
    assert old[0] < 0.82
    assert old[2] < 0.82


def test_a_wrong_noise_leaves_the_ranges() -> None:
    study = exact(line_study())
    wider = study.loaded["population"].assign(gamma=study.loaded["population"]["gamma"] + 0.7)
    check = predictive_check(study.problem, study.loaded | {"population": wider})
    truth = predictive_check(study.problem, study.loaded)
    assert check.ranges.outside.mean() > 0.3
    assert truth.ranges.outside.mean() < 0.2


def test_departures_beyond_one_are_those_outside_their_ranges() -> None:
    rng = np.random.default_rng(1)
    study = line_study()
    y = study.loaded["observations"]["y"].values
    spread, middle = y.std(axis=0), y.mean(axis=0)
    sets = middle + spread * rng.standard_exponential((39, *y.shape))
    check = PredictiveCheck.of(study.loaded["observations"], sets)
    departure = check.ranges.departure(check.spread)
    np.testing.assert_array_equal(np.abs(departure) > 1, check.ranges.outside)
    assert 0 < check.ranges.outside.mean() < 1


def test_simulated_data_sets_have_the_gaps_and_the_surrogates_error() -> None:
    study = line_study(missing=0.3)
    (first, *_) = DataSets.of(study.problem, study.loaded)
    np.testing.assert_array_equal(np.isnan(first), np.isnan(study.loaded["observations"]["y"]))
    shifted = study.loaded["check"].assign(y=study.loaded["check"]["y"] + 100.0)
    (moved, *_) = DataSets.of(study.problem, {**study.loaded, "check": shifted})
    np.testing.assert_allclose(np.nanmean(moved - first), 100.0)


def test_processes_that_share_the_data_sets_find_the_same(monkeypatch) -> None:
    study = line_study(missing=0.3)
    expected = predictive_check(study.problem, study.loaded)
    monkeypatch.setattr(workers, "_LEAST_SECONDS", 0.0)
    made_here: list[int] = []
    item = DataSets.__getitem__
    monkeypatch.setattr(
        DataSets, "__getitem__", lambda sets, index: made_here.append(index) or item(sets, index)
    )
    with processes(2):
        found = predictive_check(study.problem, study.loaded)
    assert len(made_here) < len(DataSets.of(study.problem, study.loaded))
    for name in ("means", "deviations", "covariances"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    np.testing.assert_array_equal(found.ranges.low, expected.ranges.low)


@parameters("limit", ["_SYSTEMS"], full=["_NUMBERS"])
def test_of_many_systems_some_are_compared(monkeypatch, limit) -> None:
    study = line_study(missing=0.3)
    whole = study.problem
    assert some_systems(whole, study.loaded)[0] is whole
    most = 50 if limit == "_SYSTEMS" else 51 * whole.data.shape[1] - 1
    monkeypatch.setattr(f"popinv.figures.simulated.{limit}", most)
    problem, loaded = some_systems(whole, study.loaded)
    y = loaded["observations"]["y"].values
    assert len(y) == len(problem.data) == 50
    # Data and gaps are those of the same systems, drawn from all of them without a repetition.
    np.testing.assert_array_equal(np.isnan(y), ~problem.conditions.present)
    rows = [np.flatnonzero((whole.data == row).all(axis=1)).tolist() for row in problem.data]
    assert all(len(found) == 1 for found in rows)
    assert len({found[0] for found in rows}) == 50
    assert max(rows) > [len(whole.data) // 2]
    (first, *_) = DataSets.of(problem, loaded)
    np.testing.assert_array_equal(np.isnan(first), np.isnan(y))
    for name in ("observations", "noise_covariance"):
        study.draw(name)


def test_quantiles_and_covariances_are_those_of_the_entries_that_are_there() -> None:
    rng = np.random.default_rng(0)
    y = rng.standard_normal((30, 5)) + 100 * np.arange(5)
    y[rng.uniform(size=y.shape) < 0.4] = np.nan
    np.testing.assert_allclose(quantiles(y), np.nanquantile(y, LEVELS, axis=0))
    np.testing.assert_allclose(covariance(y), pd.DataFrame(y).cov(), atol=1e-9)
    whole = rng.standard_normal((30, 5))
    np.testing.assert_allclose(covariance(whole), np.cov(whole, rowvar=False))


def own_times() -> Study:
    """Return systems that are each observed at three of thirty times."""
    times = np.concatenate([np.linspace(0, 1, 20), np.linspace(9, 10, 10)])
    observed = over_time(np.zeros((1, 1)), times)
    study = make_study(
        normal_law(["a"]), np.array([0.0, 0.0]), IsotropicNoise(30), np.log([0.2]), observed
    )
    y = study.loaded["observations"]["y"].values
    rng = np.random.default_rng(2)
    kept = rng.permuted(np.tile(np.arange(30) < 3, (len(y), 1)), axis=1)
    sparse = study.loaded["observations"]["y"].copy(data=np.where(kept, y, np.nan))
    return replace(
        study, loaded=study.loaded | {"observations": study.loaded["observations"].assign(y=sparse)}
    )


def test_neighbouring_times_that_few_systems_share_are_taken_together() -> None:
    observations = own_times().loaded["observations"]
    y = observations["y"].values
    layout = arrangement(observations)
    bins = bins_of(layout, y)
    counts = [int((~np.isnan(y[:, group])).sum()) for group in bins.groups]
    assert min(counts) >= 5
    assert sum(counts) == 3 * len(y)
    # No bin crosses the gap, and the quantiles are those of all its values.
    times = observations["observation_t"].values
    assert all(np.ptp(times[group]) < 1 for group in bins.groups)
    pooled = y[:, bins.groups[0]]
    expected = np.quantile(pooled[~np.isnan(pooled)], LEVELS)
    np.testing.assert_allclose(bins.quantiles(y)[:, 0], expected)
    check = PredictiveCheck.of(observations, [y] * 3)
    assert check.ranges.observed.shape == (3, len(bins.groups))
    assert not check.ranges.outside.any()


def test_observations_that_all_systems_have_are_bins_of_their_own() -> None:
    study = line_study()
    bins = bins_of(arrangement(study.loaded["observations"]), study.problem.data)
    assert not bins.pooled
    assert [group.tolist() for group in bins.groups] == [[i] for i in range(len(LINE))]
    np.testing.assert_array_equal(bins.layout.panels[0].x, LINE[:, 0])
