"""The numbers of a figure, as a table beside it."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest
from drawn_numbers import assert_as_drawn
from studies import LINE, QUANTITIES, line_study, quantities_study, square_study
from tiers import parameters

from popinv.charts.csv_writer import COLUMNS, numbers_of_sheet
from popinv.charts.description import (
    Axis,
    Band,
    Bars,
    Cloud,
    Contours,
    Grid,
    HeatMap,
    Line,
    Mark,
    Panel,
    Points,
    Reference,
    Segments,
    Shape,
    Sheet,
    Stretch,
)
from popinv.figures.names import FIGURES

Cells = dict[str, str]


def table(chart: Sheet) -> list[Cells]:
    return list(csv.DictReader(io.StringIO(numbers_of_sheet(chart))))


def of(rows: list[Cells], series: str, panel: str = "") -> np.ndarray:
    """Return x, y, low, high and value of a series, NaN where a cell is empty."""
    found = [r for r in rows if r["series"] == series and r["panel"].startswith(panel)]
    return np.array([[float(row[key] or "nan") for key in COLUMNS[2:]] for row in found]).T


def shown(*marks: Mark, title: str = "") -> list[Cells]:
    return table(Sheet("A title", 4, 4, Grid([Panel(Axis(), Axis(), marks, title)])))


X, Y = np.array([1.0, 2.0, 4.0]), np.array([0.5, np.nan, -1e6])


def test_lines_and_marks_are_told_with_their_panel() -> None:
    rows = shown(
        Line(X, Y, label="measured"),
        Line(X, 2 * Y, label="hidden in the legend", legend=False),
        Line(X, 3 * Y),
        Cloud(X, X, values=[7, 8, 9], label="dots"),
        Reference(0),
        Stretch(1, 2, upright=True),
        title="One, of two",
    )
    assert list(rows[0]) == ["panel", "series", "x", "y", "low", "high", "value"]
    assert {row["panel"] for row in rows} == {"One, of two"}
    assert {row["series"] for row in rows} == {"measured", "hidden in the legend", "", "dots"}
    np.testing.assert_array_equal(of(rows, "measured")[:2], [X, Y])
    np.testing.assert_array_equal(of(rows, "hidden in the legend")[:2], [X, 2 * Y])
    np.testing.assert_array_equal(of(rows, "dots"), [X, X, [np.nan] * 3, [np.nan] * 3, [7, 8, 9]])
    assert len(rows) == 12


def test_bands_and_bars_are_told_by_their_ends() -> None:
    half, some = np.array([0.1, 0.2, 0.3]), np.array([1.0, 1, np.nan])
    intervals = {"low": X - half, "high": X + half}
    rows = shown(
        Band(X, X, X**2, label="band"),
        Band(X, 0 * X, some, label="some"),
        Points(X, X, **intervals, label="bars"),
        Points(X, 2 * X, low=X - 0.1, high=X + 0.2, across=True, label="lying"),
        Points(X, X, **intervals, shown=False, label="pointless"),
        Bars(X, 10 + 0 * X, [11, 12, 13], 0.5, label="blocks"),
        Bars(X, 0 * X, [1, 2, 3], across=True, label="beams"),
    )
    np.testing.assert_allclose(of(rows, "band")[[0, 2, 3]], [X, X, X**2])
    np.testing.assert_allclose(of(rows, "some")[[0, 2, 3]], [[1, 2], [0, 0], [1, 1]])
    np.testing.assert_allclose(of(rows, "bars")[:4], [X, X, X - half, X + half])
    np.testing.assert_allclose(of(rows, "pointless")[[0, 2, 3]], [X, X - half, X + half])
    np.testing.assert_allclose(of(rows, "lying")[2:4], [X - 0.1, X + 0.2])
    np.testing.assert_allclose(of(rows, "blocks")[[0, 2, 3]], [X, [10] * 3, [11, 12, 13]])
    np.testing.assert_allclose(of(rows, "beams")[[1, 2, 3]], [X, [0] * 3, [1, 2, 3]])
    # Each once, though intervals are made of lines.
    assert len(rows) == 6 * 3 + 2


@pytest.mark.parametrize("downwards", [True, False])
def test_images_are_told_by_the_centres_of_their_cells(downwards) -> None:
    values = np.arange(6.0).reshape(2, 3)
    extent = (0.0, 3.0, 2.0, 0.0) if downwards else (0.0, 3.0, 0.0, 2.0)
    x, y, _, _, value = of(shown(HeatMap(values, extent, 0, 5, label="image")), "image")
    np.testing.assert_array_equal(x, np.tile([0.5, 1.5, 2.5], 2))
    np.testing.assert_array_equal(y, np.repeat([0.5, 1.5], 3))
    np.testing.assert_array_equal(value, np.arange(6))


def test_of_large_images_some_rows_and_columns_are_told() -> None:
    values = np.arange(400.0 * 90).reshape(400, 90)
    rows = shown(HeatMap(values, (0.5, 90.5, 400.5, 0.5), 0, 36000, label="image"))
    x, y, _, _, value = of(rows, "image")
    assert (len(np.unique(x)), len(np.unique(y))) == (90, 100)
    np.testing.assert_array_equal(value, values[y.astype(int) - 1, x.astype(int) - 1])


def test_contours_segments_and_outlines() -> None:
    x = np.linspace(-1, 1, 41)
    rows = shown(
        Contours(x, x, np.hypot(*np.meshgrid(x, x)), [0.5], label="contour"),
        Segments([0, 0], [1, 2], [3, 3], [1, 2], label="rungs"),
        Segments([0, np.nan], [0, 0], [2, 1], [1, 1], label="slanted"),
        Shape([0, 1, 1], [0, 0, 1], value=0.3, label="triangle"),
    )
    circle = of(rows, "contour")
    np.testing.assert_allclose(np.hypot(circle[0], circle[1]), 0.5, atol=1e-3)
    assert set(circle[4]) == {0.5}
    np.testing.assert_array_equal(of(rows, "rungs")[:2], [[0, 3, 0, 3], [1, 1, 2, 2]])
    np.testing.assert_array_equal(of(rows, "slanted")[:2], [[0, 2], [0, 1]])
    np.testing.assert_array_equal(
        of(rows, "triangle")[[0, 1, 4]], [[0, 1, 1], [0, 0, 1], [0.3] * 3]
    )


# Each of the marks is in one of the default tier's figures.
@parameters(
    "make, names",
    [
        (line_study, ("noise_covariance", "solver_calls")),
        (quantities_study, ("observations",)),
    ],
    full=[(make, FIGURES) for make in (line_study, square_study, quantities_study)],
)
def test_every_figure_of_a_study_has_the_numbers_that_are_drawn(make, names) -> None:
    study = make()
    for name in names:
        chart = study.chart(name)
        assert_as_drawn(chart)
        assert len(table(chart)) >= 10, name
    y = study.loaded["observations"]["y"].values
    rows = table(study.chart("observations"))
    if make is line_study:
        _, median, *_ = of(rows, "data, 5, 50, 95 %")
        np.testing.assert_allclose(median, np.median(y, axis=0), rtol=1e-5)
        _, low, *_ = of(rows, "data, 5 %")
        np.testing.assert_allclose(low, np.quantile(y, 0.05, axis=0), rtol=1e-5)
        assert len(of(rows, "model, 95 % range of 95 %")[0]) == len(LINE)
    elif make is quantities_study:
        assert len(of(rows, "data, 95 %")[0]) == len(QUANTITIES)
