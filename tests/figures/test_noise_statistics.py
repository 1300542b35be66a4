"""Empirical statistics of the noise, and their own ranges over data sets of the fitted model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from studies import LINE, TIMES, Study, exact, further_data_sets, line_study, series_study
from tiers import parameters

from popinv.figures.arrangement import Arrangement, ObservedCurve, arrangement
from popinv.figures.draws import noise_free_covariance
from popinv.figures.noise_statistics import (
    Curve,
    NoiseComparison,
    against_distance,
    autocorrelation,
    correlation_by_lag,
    deviations,
)
from popinv.figures.predictive_check import predictive_check
from popinv.figures.simulated import covariance
from popinv.figures.study import noise_comparison, sensor_distances


def comparison(study: Study) -> NoiseComparison:
    simulated = predictive_check(study.problem, study.loaded).covariances
    return noise_comparison(study.problem, study.loaded, simulated)


def by_lag(study: Study) -> Callable[[NoiseComparison], Curve]:
    layout = arrangement(study.loaded["observations"])
    return lambda noise: autocorrelation(noise, layout)


def by_distance(study: Study) -> Callable[[NoiseComparison], Curve]:
    distance = sensor_distances(study.problem, study.loaded["observations"])
    assert distance is not None
    return lambda noise: against_distance(noise, distance)


@parameters(
    "make, statistic",
    [(line_study, by_distance), (line_study, lambda study: deviations)],
    full=[(series_study, by_lag)],
    ids=["distance", "deviation", "lag"],
)
def test_under_a_right_model_empirical_statistics_lie_in_their_ranges(make, statistic) -> None:
    study = exact(make())
    noise, of = comparison(study), statistic(study)
    ranges = of(noise)
    signal = noise_free_covariance(study.problem, study.loaded["population"])
    inside, by_intervals = [], []
    for y in further_data_sets(study, 150):
        own = of(replace(noise, empirical=covariance(y) - signal, simulated=None))
        own = own.at(np.isin(own.places, ranges.places))
        inside.append((own.empirical >= ranges.low) & (own.empirical <= ranges.high))
        half = np.interp(own.places, ranges.x, ranges.half)
        away = own.empirical - np.interp(own.places, ranges.x, ranges.recovered)
        by_intervals.append(np.abs(away) <= half)
    # The ends are order statistics of 399 data sets: each range holds 95 % with a standard error of
    # 1 %, and neighbours share theirs.
    assert np.mean(inside) == pytest.approx(0.95, abs=0.02)
    # The interval of the recovered statistic says nothing about the scatter of the empirical one.
    assert np.mean(by_intervals) < 0.75


def test_noise_of_another_length_leaves_the_ranges() -> None:
    study = exact(line_study())
    gamma = study.loaded["population"]["gamma"]
    shorter = study.loaded["population"].assign(gamma=gamma - np.array([0.0, 3.0]))
    wrong = Study(study.problem, study.loaded | {"population": shorter})
    for each, leaves in ((study, False), (wrong, True)):
        curve = by_distance(each)(comparison(each))
        outside = (curve.empirical < curve.low) | (curve.empirical > curve.high)
        assert outside[0] == leaves


def test_pairs_of_equal_lag_or_distance_are_averaged() -> None:
    study = series_study()
    noise, layout = comparison(study), arrangement(study.loaded["observations"])
    curve, rows = autocorrelation(noise, layout), layout.panels[1].rows
    scale = np.sqrt(np.diag(noise.estimate)[rows])
    scaled = noise.empirical[np.ix_(rows, rows)] / np.outer(scale, scale)
    each = np.array([np.diag(scaled, -lag).mean() for lag in range(len(TIMES))])
    told = (curve.places / (TIMES[1] - TIMES[0])).round().astype(int)
    assert len(told) > 10
    np.testing.assert_allclose(curve.empirical, np.clip(each, -1, 1)[told])
    assert curve.title == layout.panels[1].title
    line = line_study()
    noise, distance = comparison(line), np.abs(LINE - LINE.T)
    curve = against_distance(noise, distance)
    expected = [np.diag(noise.empirical, lag).mean() for lag in range(1, len(LINE))]
    np.testing.assert_allclose(curve.empirical, expected)
    np.testing.assert_allclose(curve.places, 0.16 * np.arange(1, len(LINE)))


def test_many_lags_are_averaged_in_bins_and_lag_zero_for_itself() -> None:
    times = np.sort(np.random.default_rng(0).uniform(size=30))
    layout = Arrangement((ObservedCurve("", np.arange(30), times),), "t, time", over_time=True)
    covariance_of = 4.0 * np.exp(-np.abs(times[:, None] - times) / 0.2)
    curve = correlation_by_lag(covariance_of, layout)
    assert len(curve.x) == 1 + 30 * 29 / 2
    np.testing.assert_allclose(curve.recovered, np.exp(-curve.x / 0.2), atol=1e-4)
    assert len(curve.places) == 41
    assert (curve.places[0], curve.empirical[0]) == (0.0, pytest.approx(1.0))
    np.testing.assert_allclose(curve.empirical, np.exp(-curve.places / 0.2), atol=0.01)


def test_a_correlation_is_never_beyond_one_and_is_left_out_where_the_data_say_nothing() -> None:
    layout = Arrangement((ObservedCurve("", np.arange(4), np.arange(4.0)),), "t", over_time=True)
    rng = np.random.default_rng(0)
    empirical = np.eye(4)
    empirical[0, 3] = empirical[3, 0] = 2.5
    known = np.array([np.eye(4) + 0.1 * rng.standard_normal((4, 4)) for _ in range(39)])
    vague = known.copy()
    vague[:, 0, 3] = vague[:, 3, 0] = np.linspace(-4, 8, 39)
    for simulated, lags in ((known, [0, 1, 2, 3]), (vague, [0, 1, 2])):
        curve = autocorrelation(NoiseComparison(np.eye(4), empirical, simulated=simulated), layout)
        assert curve.places.tolist() == lags
        assert np.abs([curve.empirical, curve.low, curve.high]).max() <= 1


def test_pairs_count_by_their_systems() -> None:
    layout = Arrangement((ObservedCurve("", np.arange(3), np.arange(3.0)),), "t", over_time=True)
    empirical = np.eye(3)
    empirical[0, 1] = empirical[1, 0] = 0.8
    counts = np.array([[9, 1, 0], [1, 9, 3], [0, 3, 9]])
    curve = autocorrelation(NoiseComparison(np.eye(3), empirical, counts=counts), layout)
    assert curve.empirical[1] == pytest.approx(0.8 / 4)


def test_pairs_that_no_systems_share_are_left_out() -> None:
    empirical = np.exp(-np.abs(LINE - LINE.T) / 0.3)
    empirical[0, -1] = empirical[-1, 0] = np.nan
    noise = NoiseComparison(empirical, empirical, simulated=np.stack([empirical] * 39))
    curve = against_distance(noise, np.abs(LINE - LINE.T))
    assert len(curve.places) == len(LINE) - 2
    for values in (curve.empirical, curve.low, curve.high):
        np.testing.assert_allclose(values, np.exp(-curve.places / 0.3))
