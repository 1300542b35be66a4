"""Simultaneous bands: whole curves stay inside as often as they should."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from popinv.figures.calibration import GRID
from popinv.figures.envelopes import envelope


def distribution_functions(u: np.ndarray) -> np.ndarray:
    """Return the distribution functions of rows of numbers, less the uniform one."""
    return np.array([np.searchsorted(np.sort(row), GRID, "right") for row in u]) / u.shape[1] - GRID


def independent(rng: np.random.Generator, count: int, size: int) -> np.ndarray:
    return distribution_functions(rng.uniform(size=(count, size)))


def in_groups(rng: np.random.Generator, count: int, size: int) -> np.ndarray:
    """Return those of numbers of which each ten are about equal."""
    first = np.repeat(rng.uniform(size=(count, size // 10)), 10, axis=1)
    return distribution_functions((first + 0.02 * rng.uniform(size=(count, size))) % 1)


Curves = Callable[[np.random.Generator, int, int], np.ndarray]


def share_inside(
    of: Curves, further_of: Curves, size: int, level: float = 0.95
) -> tuple[float, float]:
    """Return the shares of further curves in simultaneous bands and in pointwise ones."""
    rng = np.random.default_rng(0)
    further = further_of(rng, 1000, size)
    shares = []
    for _ in range(10):
        curves = of(rng, 799, size)
        band = envelope(curves, level)
        low, high = np.quantile(curves, ((1 - level) / 2, (1 + level) / 2), axis=0)
        pointwise = np.all((further >= low) & (further <= high), axis=1)
        shares.append((np.mean([band.holds(curve) for curve in further]), pointwise.mean()))
    return tuple(np.mean(shares, axis=0))


@pytest.mark.parametrize("level", [0.8, 0.95])
@pytest.mark.parametrize("size", [40, 500])
def test_whole_curves_stay_inside_as_often_as_they_should(size: int, level: float) -> None:
    simultaneous, pointwise = share_inside(independent, independent, size, level)
    # Each band holds its level with a standard error of sqrt(level (1 - level) / 400); there are
    # ten. Counts are discrete, so that few numbers are in a band a little more often.
    error = np.sqrt(level * (1 - level) / 400 / 10)
    assert level - 4 * error < simultaneous < level + 4 * error + 1 / size
    assert pointwise < level - 0.15


def test_the_band_of_independent_numbers_is_too_narrow_for_dependent_ones() -> None:
    own, _ = share_inside(in_groups, in_groups, 200)
    assert own == pytest.approx(0.95, abs=0.02)
    of_independent, _ = share_inside(independent, in_groups, 200)
    assert of_independent < 0.5


def test_a_curve_that_equals_an_end_is_inside_and_one_beyond_is_not() -> None:
    curves = np.random.default_rng(1).standard_normal((199, 5))
    band = envelope(curves)
    assert band.holds(band.high)
    assert band.holds(band.low)
    beyond = band.high.copy()
    beyond[2] += 0.01
    assert not band.holds(beyond)


def test_points_at_which_all_curves_are_equal_do_not_count() -> None:
    curves = np.random.default_rng(2).standard_normal((199, 5))
    curves[:, 0] = 3.0
    band = envelope(curves)
    assert (band.low[0], band.high[0]) == (3.0, 3.0)
    np.testing.assert_array_equal(band.high[1:], envelope(curves[:, 1:]).high)
