"""Layouts of observations, from their coordinates alone."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from studies import LINE, PLACES, QUANTITIES, SQUARE, TIMES, at_places, over_time

from popinv.charts.style import evenly
from popinv.figures.arrangement import NUMBER, Arrangement, arrangement, columns_for
from popinv.forward.base import Observations
from popinv.forward.datasets import observation_coordinates, places


def laid_out(columns: Observations) -> Arrangement:
    """Return the layout of observations whose Dataset has its coordinates in another order."""
    coordinates = observation_coordinates(columns)
    turned = dict(reversed(coordinates.items()))
    y = xr.Variable(("system", "observation"), np.zeros((2, len(columns))))
    return arrangement(xr.Dataset({"y": y}, coords=turned))


def every_row_once(layout: Arrangement, count: int) -> bool:
    rows = np.concatenate([panel.rows for panel in layout.panels])
    return sorted(rows.tolist()) == list(range(count))


def test_places_on_a_line_are_one_curve_in_their_order() -> None:
    layout = laid_out(at_places(LINE[::-1]))
    (panel,) = layout.panels
    np.testing.assert_array_equal(panel.x, LINE[:, 0])
    np.testing.assert_array_equal(panel.rows, np.arange(len(LINE))[::-1])
    assert layout.x_label == "x, place of the sensor [km]"
    assert layout.ticks() is None
    assert not layout.over_time


def test_two_coordinates_are_a_map_in_the_given_order() -> None:
    observed = Observations(SQUARE, ("lon", "lat"), "c", coordinate_units="deg")
    layout = laid_out(observed)
    assert layout.map_labels == ("lon [deg]", "lat [deg]")
    np.testing.assert_array_equal(layout.map, SQUARE)
    assert every_row_once(layout, len(SQUARE))


def test_time_series_have_a_panel_for_each_place() -> None:
    layout = laid_out(over_time(PLACES, TIMES))
    assert [panel.title for panel in layout.panels] == ["x = 0.3", "x = 0.6", "x = 1"]
    for panel in layout.panels:
        np.testing.assert_array_equal(panel.x, TIMES)
    assert layout.over_time
    assert layout.shared_scale
    assert layout.x_label == "t, time"
    assert every_row_once(layout, len(PLACES) * len(TIMES))
    ticks, names = layout.ticks()
    np.testing.assert_allclose(ticks, [8.5, 24.5, 40.5])
    assert names == ["x = 0.3", "x = 0.6", "x = 1"]


def test_a_place_in_the_plane_has_two_coordinates_in_its_title() -> None:
    where = np.column_stack([np.repeat(SQUARE[:2], 2, axis=0), [1.0, 2.0, 1.0, 2.0]])
    layout = laid_out(Observations(where, ("x", "y", "t"), "u", coordinate_units="m"))
    assert [panel.title for panel in layout.panels] == [
        "x = 0.2 m, y = 0.1 m",
        "x = 0.2 m, y = 0.6 m",
    ]


def test_a_single_time_is_no_axis() -> None:
    layout = laid_out(over_time(PLACES, TIMES[:1]))
    assert layout.x_label == "x, place of the sensor"
    np.testing.assert_array_equal(layout.panels[0].x, PLACES)


def test_a_single_time_series_needs_no_title() -> None:
    (panel,) = laid_out(Observations(TIMES[:, None], ("t",), "u")).panels
    assert panel.title == ""


def test_places_seen_once_each_at_their_own_time_are_a_map() -> None:
    where = np.column_stack([LINE[:, 0], np.arange(len(LINE))])
    layout = laid_out(Observations(where, ("x", "t"), "u"))
    assert layout.map_labels == ("x, place of the sensor", "t, time")


@pytest.mark.parametrize("ending", ["", ", window {w}", " (window {w})", " [{w}]"])
def test_quantities_over_time_are_called_by_what_their_labels_share(ending: str) -> None:
    windows = range(1, 13)
    labels = tuple(f"{q}{ending.format(w=w)}" for q in QUANTITIES for w in windows)
    where = np.array([[i, w] for i in range(len(QUANTITIES)) for w in windows], dtype=float)
    layout = laid_out(Observations(where, ("quantity", "t"), "average", labels=labels))
    expected = ["x", "x squared", "x lag 1", "x lag 2"]
    assert [panel.title for panel in layout.panels] == expected
    assert not layout.shared_scale


def test_labels_that_differ_are_names() -> None:
    where = np.arange(4.0)[:, None]
    layout = laid_out(Observations(where, ("quantity",), "average", labels=QUANTITIES))
    assert layout.names == ("x", "x squared", "x lag 1", "x lag 2")
    np.testing.assert_array_equal(layout.ticks()[0], [1, 2, 3, 4])


def test_labels_that_repeat_are_curves() -> None:
    where = np.tile([0.3, 0.1, 0.2], 2)[:, None]
    labels = ("pressure",) * 3 + ("speed",) * 3
    layout = laid_out(Observations(where, ("depth",), "any", labels=labels))
    assert [panel.title for panel in layout.panels] == ["pressure", "speed"]
    assert [panel.rows.tolist() for panel in layout.panels] == [[1, 2, 0], [4, 5, 3]]
    assert layout.x_label == "depth"
    assert not layout.shared_scale


def test_what_has_no_picture_is_shown_by_number() -> None:
    layout = laid_out(Observations(np.zeros((5, 3)), ("x", "y", "z"), "u"))
    assert layout.x_label == NUMBER
    np.testing.assert_array_equal(layout.panels[0].x, [1, 2, 3, 4, 5])


def test_places_keep_the_order_of_the_observations_coordinates() -> None:
    where = np.arange(12.0).reshape(4, 3)
    coordinates = observation_coordinates(Observations(where, ("z", "a_t", "t"), "u"))
    dataset = xr.Dataset(coords=dict(reversed(coordinates.items())))
    np.testing.assert_array_equal(places(dataset), where)


def test_evenly_spread_numbers_have_both_ends() -> None:
    assert evenly(4, 6).tolist() == [0, 1, 2, 3]
    assert evenly(11, 6).tolist() == [0, 2, 4, 6, 8, 10]
    assert [columns_for(count) for count in range(1, 7)] == [1, 2, 3, 2, 3, 3]


def named(*names: str, axis: str = "entry") -> Arrangement:
    """Return the layout of the columns of a file."""
    places = np.arange(float(len(names)))[:, None]
    coordinates = observation_coordinates(Observations(places, (axis,), "y"))
    y = xr.Variable(("system", "observation"), np.zeros((2, len(names))))
    column = xr.Variable("observation", np.array(names))
    return arrangement(xr.Dataset({"y": y}, coords=coordinates | {"column": column}))


def test_columns_with_numbers_for_names_are_a_curve_over_them() -> None:
    layout = named("2", "0.5", "1")
    (panel,) = layout.panels
    np.testing.assert_array_equal(panel.x, [0.5, 1, 2])
    np.testing.assert_array_equal(panel.rows, [1, 2, 0])
    assert layout.x_label == "name of the column in the file"
    assert layout.ticks() is None


@pytest.mark.parametrize("last", ["upper_bound", "nan", "inf"])
def test_columns_with_a_few_words_for_names_are_separate(last: str) -> None:
    layout = named("0.5", last)
    assert layout.names == ("0.5", last.replace("_", " "))
    assert not layout.shared_scale


def test_many_names_and_known_places_do_not_matter() -> None:
    assert named(*(f"p{i}" for i in range(25))).x_label == NUMBER
    assert named("p", "q", axis="x").x_label == "x, place of the sensor"
