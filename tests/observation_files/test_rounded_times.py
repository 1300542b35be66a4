"""Times of their own, too many for a simulator, are rounded to fewer with a stated tolerance."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from commands import new_study, ran, written_study

from popinv.errors import DataError
from popinv.forward.base import Observations
from popinv.observation_files.fit import read_fitting
from popinv.observation_files.nominal_times import nominal_times
from popinv.observation_files.section import FileObservations
from popinv.observation_files.table import ObservationTable, described_rounding, moved_by_rounding
from popinv.population.stages.import_observations import import_observations
from popinv.sections.tables import times_of_file

KEYS = {"layout": "long", "system_column": "id", "time_column": "t", "value_column": "y"}
pytestmark = pytest.mark.usefixtures("in_folder")


def write(systems: int, each: int, seed: int = 0) -> list[tuple[int, float, float]]:
    rng = np.random.default_rng(seed)
    rows = []
    for system in range(systems):
        for t in np.sort(rng.uniform(0, 10, each)).tolist():
            y = float(np.exp(-t / (3 + system % 4)) + 0.05 * rng.normal())
            rows.append((system, t, y))
    Path("y.csv").write_text("id,t,y\n" + "".join(f"{s},{t!r},{y!r}\n" for s, t, y in rows))
    return rows


def read(times: list[float], **keys: object) -> ObservationTable:
    at = Observations(np.array(times)[:, None], ("t",), "y")
    return read_fitting(FileObservations(file="y.csv", **KEYS, **keys), at)


def test_each_value_is_at_the_nearest_time() -> None:
    rows = write(6, 4)
    grid = times_of_file("y.csv", "t", 201)
    assert len(grid) <= 24
    table = read(grid, time_tolerance=0.03)
    assert np.isfinite(table.values).sum() == 24
    for system, t, y in rows:
        place = int(np.argmin(np.abs(np.array(grid) - t)))
        assert table.values[system, place] == y
        assert table.time_shifts[system, place] == pytest.approx(t - grid[place])
    largest = max(min(abs(t - g) for g in grid) for _, t, _ in rows)
    assert f"by at most {largest:.3g}" in described_rounding(table)


def test_times_further_away_are_refused() -> None:
    write(6, 4)
    grid = times_of_file("y.csv", "t", 41)
    with pytest.raises(DataError, match=r"raise 'observations\.time_tolerance' \(0\.01\)"):
        read(grid, time_tolerance=0.01)
    with pytest.raises(DataError, match=r"or round them with 'observations\.time_tolerance'"):
        read(grid)


def test_values_of_one_rounded_time_need_a_finer_grid_or_are_replicates() -> None:
    write(6, 30)
    grid = times_of_file("y.csv", "t", 11)
    with pytest.raises(
        DataError, match=r"has a second value at t = .* or take a finer 'grid' of times"
    ):
        read(grid, time_tolerance=0.6)
    table = read(grid, time_tolerance=0.6, replicates="rows")
    assert np.isfinite(table.values).sum() == 180


def test_the_effect_is_that_of_the_slope() -> None:
    write(50, 5)
    grid = times_of_file("y.csv", "t", 101)
    table = read(grid, time_tolerance=0.06, replicates="rows")
    # Lines of slope 2 and of slope -3.
    y = np.array([[2.0], [-3.0]]) * np.array(grid)
    moved = moved_by_rounding(table, y, np.array(grid))
    shifts = table.time_shifts[np.isfinite(table.time_shifts)]
    assert moved == pytest.approx(np.sqrt((4 + 9) / 2 * np.mean(shifts**2)))


def distances(times: np.ndarray, systems: np.ndarray) -> np.ndarray:
    """Return the distance of each value to the nearest other one of its system."""
    apart = np.abs(times[:, None] - times)
    apart[(systems[:, None] != systems) | np.eye(len(times), dtype=bool)] = np.inf
    return apart.min(axis=1)


@pytest.mark.parametrize("seed", range(3))
def test_nominal_times_are_the_fewest_that_round_by_a_share(seed: int) -> None:
    rng = np.random.default_rng(seed)
    systems = np.repeat(np.arange(8), 5)
    times = np.concatenate([np.sort(np.exp(rng.uniform(-3, 3, 5))) for _ in range(8)])
    found = nominal_times(times, systems, share=0.2)
    near = distances(times, systems)
    largest = (np.abs(times[:, None] - np.array(found.times)).min(axis=1) / near).max()
    assert largest <= 0.2 + 1e-12
    assert found.share == pytest.approx(largest)
    # As many intervals as there are nominal times are disjoint, so fewer times cannot meet all.
    intervals = sorted(zip(times + 0.2 * near, times - 0.2 * near, strict=True))
    disjoint, end = 0, -np.inf
    for right, left in intervals:
        if left > end:
            disjoint, end = disjoint + 1, right
    assert len(found.times) == disjoint


def test_a_number_of_nominal_times_rounds_early_times_less_than_late_ones() -> None:
    rng = np.random.default_rng(0)
    planned = np.array([0.1, 0.2, 0.3, 0.5, 1, 2, 4, 8, 16, 32])
    systems = np.repeat(np.arange(40), 10)
    times = (planned * (1 + 0.02 * rng.uniform(-1, 1, (40, 10)))).ravel()
    found = nominal_times(times, systems, most=10)
    np.testing.assert_allclose(found.times, planned, rtol=0.02)
    moved = np.abs(times[:, None] - np.array(found.times)).min(axis=1)
    assert moved[times < 0.4].max() < 0.02
    assert moved.max() <= found.tolerance


@pytest.mark.full
def test_a_study_of_thousands_of_times() -> None:
    write(150, 10)
    said = new_study()
    study = written_study()
    count, tolerance = len(study.forward.observations.times), study.observations.time_tolerance
    assert 150 <= count <= 200
    assert f"its many times are rounded to {count}, by at most {tolerance:g}" in said
    dataset = import_observations(study.forward, study.law, study.observations, seed=1)
    assert np.isfinite(dataset["y"].values).sum() == 1500
    tried = ran("try", "mine.yaml")
    assert "times are rounded to the nearest of the forward model" in tried
    assert "that moves the observations of the systems tried by" in tried
