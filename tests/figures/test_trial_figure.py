"""First solves of a simulator are drawn over the observations of a table, in its order."""

from __future__ import annotations

import numpy as np
import pytest

from popinv.charts.description import Line, Sheet
from popinv.charts.style import DATA, MODEL
from popinv.figures.trial import draw_trial
from popinv.forward.base import Observations

TIMES = np.array([0.0, 1.0, 4.0])


def two_places() -> Observations:
    """Return two places with three times each, times fastest."""
    places = np.repeat([0.25, 0.75], 3)
    return Observations(np.column_stack([places, np.tile(TIMES, 2)]), ("x", "t"), "height", "m")


def curves(sheet: Sheet, colour: str) -> list[list[Line]]:
    return [
        [mark for mark in panel.marks if isinstance(mark, Line) and mark.colour == colour]
        for panel in sheet.panels
    ]


def test_each_place_has_its_solves_and_its_data_over_time():
    solved = np.array([[0.0, 1.0, 2.0, 10.0, 11.0, 12.0]])
    seen = solved + 0.5
    seen[0, 1] = np.nan
    sheet = draw_trial(solved, seen, two_places(), None)
    assert [panel.title for panel in sheet.panels] == ["x = 0.25", "x = 0.75"]
    for of_place, row in zip(curves(sheet, MODEL), solved.reshape(2, 3), strict=True):
        (line,) = of_place
        np.testing.assert_array_equal(line.x, TIMES)
        np.testing.assert_array_equal(line.y, row)
    (first,), (second,) = curves(sheet, DATA)
    np.testing.assert_array_equal(first.x, [0.0, 4.0])
    np.testing.assert_array_equal(second.y, [10.5, 11.5, 12.5])


def test_replicates_are_rows_of_their_own_and_few_of_many_systems_are_drawn():
    rng = np.random.default_rng(0)
    sheet = draw_trial(rng.normal(size=(2, 6)), rng.normal(size=(40, 12)), two_places(), None)
    for panel, of_place in zip(sheet.panels, curves(sheet, DATA), strict=True):
        assert len(of_place) == 30
        assert {line.label for line in of_place} == {"30 of 80 systems observed"}
        assert sum(line.legend for line in of_place) == 1
        assert len(panel.marks) == 32


@pytest.mark.parametrize("size", [1.0, 1000.0])
def test_separate_quantities_are_in_deviations_of_the_data(size: float):
    rng = np.random.default_rng(0)
    described = Observations(np.arange(2.0)[:, None], ("entry",), "observation")
    data = rng.normal(size=(25, 2)) * [1.0, size] + [0.0, 3 * size]
    sheet = draw_trial(data[:1], data, described, ("weight", "height"))
    drawn = np.array([line.y for (panel,) in [curves(sheet, DATA)] for line in panel])
    np.testing.assert_allclose(drawn.mean(axis=0), 0.0, atol=1e-12)
    np.testing.assert_allclose(drawn.std(axis=0), 1.0, rtol=1e-12)
    (panel,) = sheet.panels
    assert [name.split("\n")[0] for name in panel.x.names] == ["weight", "height"]
