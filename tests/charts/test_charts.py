"""A chart that is described once is the same as a picture, on a page and as a table."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest
from drawn_numbers import assert_as_drawn
from matplotlib.colors import to_hex

from popinv.charts.csv_writer import numbers_of_panel, numbers_of_sheet
from popinv.charts.description import (
    Arrow,
    Axis,
    Band,
    Bars,
    Box,
    Cloud,
    Contours,
    Frame,
    Grid,
    HeatMap,
    Legend,
    Line,
    Mark,
    Note,
    Panel,
    Parts,
    Points,
    Reference,
    Segments,
    Shape,
    Sheet,
    Stretch,
)
from popinv.charts.matplotlib_writer import drawn
from popinv.charts.page_chart import Chart
from popinv.charts.plotly_writer import page_figure, page_grid
from popinv.charts.saving import save
from popinv.charts.style import shades

X = np.array([1.0, 2.0, 4.0])
SQUARE = np.arange(12.0).reshape(3, 4)
WORDS = [[f"{value:g}" for value in row] for row in SQUARE]
GRID = np.linspace(-1, 1, 21)
DISC = np.hypot(*np.meshgrid(GRID, GRID))

MARKS: dict[str, Mark] = {
    "line": Line(X, X**2, "dash", marker="square", label="a"),
    "one value for all": Line(X, 0.5, label="a"),
    "gap": Line(X, np.array([1.0, np.nan, 2.0]), label="a"),
    "steps": Line(X, X, steps="half way", label="a"),
    "points": Points(X, X, "triangle-up", filled=False, label="a"),
    "hidden": Points(X, X, label="a", legend=False),
    "intervals": Points(X, X, low=X - 0.1, high=X + 0.2, label="a"),
    "lying intervals": Points(X, X, low=X - 0.1, high=X + 0.2, across=True, label="a"),
    "intervals alone": Points(X, X, low=X - 1, high=X + 1, across=True, shown=False, label="a"),
    "cloud": Cloud(X, X, "x", label="a"),
    "map of dots": Cloud(X, X, values=X + 6, least=7, largest=10, edge="#8C8C8C", label="a"),
    "band": Band(X, X, X**2, label="a"),
    "band to zero": Band(X, 0.0, X, label="a"),
    "bars": Bars(X, X, X + 1, texts=["a", "b", "c"], label="a"),
    "beams": Bars(X, 0 * X, X, across=True, colours=["#000000"] * 3, label="a"),
    "levels": Segments(X, X, X + 1, X, label="a"),
    "uprights": Segments(X, X, X, X + 1, label="a"),
    "map": HeatMap(SQUARE, (0.5, 4.5, 3.5, 0.5), 0, 11, colours="diverging", label="a"),
    "map upwards": HeatMap(SQUARE, (0, 1, 0, 1), 0, 11, label="a"),
    "large map": HeatMap(np.ones((250, 120)), (0, 120, 0, 250), 0, 1, label="a"),
    "contours": Contours(GRID, GRID, DISC, (0.3, 0.6), label="contour"),
    "map of roots": HeatMap(SQUARE - 4, (0, 4, 0, 3), -7, 7, root=True, square=False, label="a"),
    "smooth map": HeatMap(SQUARE, (0, 4, 0, 3), 0, 11, smooth=True, steps=8, label="a"),
    "photograph": HeatMap(SQUARE, (0, 4, 3, 0), 0, 11, colours="grey", texts=WORDS, label="a"),
    "steps at points": Line(X, X, steps="at points", label="a"),
    "joined": Points(X, X, low=X - 0.1, high=X + 0.2, joined="dashdot", edge="#8C8C8C", label="a"),
    "slanted": Segments(X, X, X + 1, X**2, label="a"),
    "outline": Shape([0, 1, 1, 0], [0, 0, 1, 0], label="a"),
    "few contours": Contours(GRID, GRID, DISC, 3, label="contour"),
    "areas": Contours(GRID, GRID, DISC, (0.0, 0.3, 0.6), filled=True, label="contour"),
}
SILENT: dict[str, Mark] = {
    "reference": Reference(1.0, label="a"),
    "upright": Reference(1.0, upright=True, label="a"),
    "stretch": Stretch(0.0, 1.0, label="a"),
    "upright stretch": Stretch(0.0, 1.0, upright=True, label="a"),
    "frame": Frame((0, 1), (0, 1), label="a"),
    "note": Note("words"),
    "note at a point": Note("words", 1.0, 1.0),
    "bold note": Note("words", 1.0, 1.0, bold=True, framed=False, shift=(4, 2)),
    "box": Box("words", 1.0, 1.0, 0.5, 0.2, label="a"),
    "arrow": Arrow([0, 1, 1], [0, 0, 2], "dash", label="a"),
}


def panel(*marks: Mark, **settings) -> Panel:
    return Panel(Axis("place [m]"), Axis("height [m]"), marks, **settings)


def sheet(*panels: Panel | None, **settings) -> Sheet:
    return Sheet("A title", 4, 4, Grid(panels, **settings))


@pytest.mark.parametrize("name", MARKS)
def test_the_table_has_the_numbers_that_the_picture_shows(name: str) -> None:
    chart = sheet(panel(MARKS[name], title="One, of two"))
    assert_as_drawn(chart)
    rows = list(csv.DictReader(io.StringIO(numbers_of_sheet(chart))))
    assert {row["panel"] for row in rows} == {"One, of two"}
    assert {row["series"] for row in rows} == {MARKS[name].label}


@pytest.mark.parametrize("name", SILENT)
def test_what_lies_across_a_panel_has_no_numbers(name: str) -> None:
    chart = sheet(panel(SILENT[name], MARKS["line"]))
    assert len(numbers_of_sheet(chart).splitlines()) == 1 + len(X)
    assert_as_drawn(chart)


@pytest.mark.parametrize("name", {**MARKS, **SILENT})
def test_every_mark_is_on_a_page(name: str) -> None:
    mark = {**MARKS, **SILENT}[name]
    figure = page_figure([panel(MARKS["line"], mark)])
    layout = figure.layout
    drawn_there = len(figure.data) + len(layout.shapes)
    absent = isinstance(mark, Note | Frame) or (isinstance(mark, Contours) and mark.filled)
    assert (drawn_there > 1) is not absent
    assert (layout.xaxis.title.text, layout.yaxis.title.text) == ("place [m]", "height [m]")
    json.loads(Chart("a", "A", "", "", figure).json(), parse_constant=pytest.fail)


def test_intervals_on_a_page_have_their_own_ends() -> None:
    low, high = X - [0.1, 0.2, 0.3], X + 1
    (trace,) = page_figure([panel(Points(X, X, low=low, high=high))]).data
    np.testing.assert_allclose(trace.error_y.array, 1.0)
    np.testing.assert_allclose(trace.error_y.arrayminus, [0.1, 0.2, 0.3])


def test_marks_of_gaps_and_unknown_ends_are_told_as_they_are_drawn() -> None:
    unknown = np.array([0.0, np.nan, 1.0])
    marks = [Segments(unknown, X, X, X, label="a"), Band(X, np.full(3, np.nan), X, label="b")]
    rows = list(numbers_of_panel(panel(*marks)))
    assert [row[:3] for row in rows] == [("a", 0, 1), ("a", 1, 1), ("a", 1, 4), ("a", 4, 4)]


def test_panels_are_named_by_title_or_label_or_number() -> None:
    blank = Panel(Axis(), Axis(), [MARKS["line"]])
    chart = sheet(panel(MARKS["line"]), None, blank, columns=3)
    rows = csv.DictReader(io.StringIO(numbers_of_sheet(chart)))
    assert [row["panel"] for row in rows] == ["height [m]"] * 3 + ["panel 2"] * 3
    assert_as_drawn(chart)


def test_parts_of_a_sheet_are_told_in_their_order() -> None:
    titled = [Grid([panel(MARKS["line"], title=title)]) for title in "abc"]
    body = Parts([Parts(titled[:2], down=True), titled[2]], shares=(2, 1))
    chart = Sheet("A title", 6, 4, body)
    assert [each.title for each in chart.panels] == ["a", "b", "c"]
    assert_as_drawn(chart)


def test_legends_show_what_they_should() -> None:
    renamed = Line(X, X, label="told", legend="shown")
    chart = sheet(panel(renamed, MARKS["hidden"], legend=Legend()))
    (ax,) = drawn(chart).axes
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["shown"]
    assert "told,1,1" in numbers_of_sheet(chart)
    first, second = page_figure([panel(renamed, MARKS["hidden"])]).data
    assert (first.name, first.showlegend, second.showlegend) == ("shown", True, False)
    key = Line([], [], label="a key")
    figure = drawn(sheet(panel(renamed), panel(renamed), legend=2, keys=[key]))
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["a key"]


def test_a_scale_of_roots_is_the_same_on_a_page() -> None:
    y = Axis(scale="root", limits=(-0.04, 9.0))
    chart = Panel(Axis(), y, [Line([0.0, 1, 2], [-0.01, 1, 4], label="a")])
    (ax,) = drawn(sheet(chart)).axes
    heights = ax.transData.transform([(0, value) for value in (0, 1, 4, 9)])[:, 1]
    np.testing.assert_allclose(np.diff(heights), heights[1] - heights[0])
    figure = page_figure([chart])
    np.testing.assert_allclose(figure.data[0].y, [-0.1, 1, 2])
    assert figure.layout.yaxis.range == pytest.approx((-0.2, 3))
    places, names = figure.layout.yaxis.tickvals, figure.layout.yaxis.ticktext
    np.testing.assert_allclose(np.square(places), [float(name) for name in names])


def test_colours_of_roots_are_the_same_on_a_page() -> None:
    values = np.array([[0.0, 1.0, 9.0]])
    mark = HeatMap(values, (0, 3, 0, 1), 0, 9, root=True, scale="covariance")
    (image,) = drawn(sheet(panel(mark))).axes[0].images
    assert image.norm(1.0) == pytest.approx(1 / 3)
    (trace,) = page_figure([panel(mark)]).data
    np.testing.assert_allclose(trace.z, [[0, 1, 3]])
    assert (trace.zmin, trace.zmax) == (0, 3)
    np.testing.assert_allclose(trace.customdata, values)
    np.testing.assert_allclose(
        np.square(trace.colorbar.tickvals), [float(text) for text in trace.colorbar.ticktext]
    )


def test_words_in_cells_are_read_on_their_colours() -> None:
    mark = HeatMap(np.array([[0.0, 1.0]]), (0, 2, 0, 1), 0, 1, texts=[["low", "high"]])
    low, high = drawn(sheet(panel(mark))).axes[0].texts
    # The least values are dark blue, the largest yellow.
    assert (low.get_text(), low.get_color()) == ("low", "white")
    assert (high.get_text(), high.get_color()) == ("high", "black")


def test_each_row_of_a_sheet_may_have_a_scale_of_colours() -> None:
    maps = [panel(HeatMap(SQUARE, (0, 1, 0, 1), 0, end)) for end in (5, 5, 11, 11)]
    lines = [panel(MARKS["line"])] * 2
    figure = drawn(sheet(*maps, *lines, columns=2, scale=["few", "many", None]))
    bars = [ax for ax in figure.axes if ax.get_label() == "<colorbar>"]
    assert [bar.get_ylabel() for bar in bars] == ["few", "many"]
    assert [bar.get_ylim()[1] for bar in bars] == [5, 11]


def test_words_below_a_sheet_and_names_below_a_panel() -> None:
    chart = panel(MARKS["line"], legend=Legend("below"))
    figure = drawn(Sheet("A title", 4, 4, Grid([chart]), "words"))
    assert figure.get_supxlabel() == "words"
    figure.draw_without_rendering()
    (ax,) = figure.axes
    legend = ax.get_legend().get_window_extent()
    assert legend.ymax < ax.get_window_extent().ymin


def test_an_outline_has_the_colour_of_its_value() -> None:
    corners = [0, 1, 1], [0, 0, 1]
    looks = {"largest": 2.0, "colours": "time"}
    marks = [Shape(*corners, value=value, **looks) for value in (0.0, 2.0)]
    figure = drawn(sheet(panel(*marks), scale="time"))
    edges = [patch.get_edgecolor()[:3] for patch in figure.axes[0].patches]
    assert (figure.axes[1].get_ylabel(), figure.axes[1].get_ylim()) == ("time", (0, 2))
    traces = page_figure([panel(*marks)]).data
    for edge, trace, expected in zip(edges, traces, shades("time", [0.0, 1.0]), strict=True):
        assert to_hex(edge) == trace.line.color == expected


@pytest.mark.parametrize("scale", ["linear", "log"])
def test_room_for_a_legend_lengthens_an_axis(scale) -> None:
    marks, limits = [Line(X, X)], (1.0, 10.0)
    y = Axis(scale=scale, limits=limits, room=0.5)
    (ax,) = drawn(sheet(Panel(Axis(), y, marks))).axes
    longer = 10.0**1.5 if scale == "log" else 14.5
    assert ax.get_ylim() == pytest.approx((1.0, longer))


def test_limits_are_the_same_on_a_page() -> None:
    marks = [Line(X, X)]
    axes = Axis(scale="log", limits=(1.0, 100.0)), Axis(limits=(0, None))
    layout = page_figure([Panel(*axes, marks)]).layout
    assert layout.xaxis.type == "log"
    assert layout.xaxis.range == pytest.approx((0, 2))
    assert layout.yaxis.rangemode == "tozero"


def test_names_of_places_are_those_of_the_points() -> None:
    names = Axis(places=[0, 1], names=["first", "second\none"], limits=(1.5, -0.5))
    marks = [
        Points([1.0, 2.0], [0, 1], label="a"),
        Segments([0, 0], [0, 1], [3, 3], [0, 1], label="b"),
        Reference(1.0, upright=True, label="c"),
    ]
    figure = page_figure([Panel(Axis(), names, marks)])
    assert [list(trace.y) for trace in figure.data] == [
        ["first", "second<br>one"],
        ["first", "first", None, "second<br>one", "second<br>one", None],
        ["first", "second<br>one"],
    ]
    assert list(figure.layout.yaxis.categoryarray) == ["first", "second<br>one"]
    assert figure.layout.yaxis.range == (1.5, -0.5)
    # Between the places, points are at their numbers.
    between = page_figure([Panel(Axis(), names, [Points([1.0], [0.5])])])
    assert between.layout.yaxis.type is None
    assert between.layout.yaxis.ticktext == ("first", "second<br>one")


def test_choices_are_shown_one_at_a_time() -> None:
    panels = [panel(Line(X, k * X, label="a"), Reference(0.0)) for k in range(3)]
    figure = page_figure(panels, choices=True)
    assert [trace.meta for trace in figure.data] == [0, 1, 2]
    assert len(figure.layout.shapes) == 1
    chart = Chart("a", "A", "", "", figure, control="slider", choices=("0", "1", "2"))
    shown = [trace["visible"] for trace in json.loads(chart.json())["data"]]
    assert shown == [True, False, False]


def test_of_many_points_some_are_on_a_page() -> None:
    many = np.arange(5000.0)
    line, cloud = page_figure([panel(Line(many, many), Cloud(many, many))]).data
    for trace in (line, cloud):
        assert len(trace.x) <= 600
        assert (trace.x[0], trace.x[-1]) == (0, 4999)
    wide = HeatMap(np.ones((300, 300)), (0, 300, 0, 300), 0, 1)
    (heat,) = page_figure([panel(wide)]).data
    assert heat.z.shape == (120, 120)


def test_a_heat_map_has_its_first_row_where_the_picture_has_it() -> None:
    (heat,) = page_figure([panel(MARKS["map"])]).data
    assert heat.y.tolist() == [1, 2, 3]
    assert page_figure([panel(MARKS["map"])]).layout.yaxis.autorange == "reversed"
    assert page_figure([panel(MARKS["map upwards"])]).layout.yaxis.autorange is None


def test_boxes_and_arrows_of_a_grid_are_in_their_own_panels() -> None:
    marks = [Box("a\nb", 1.0, 2.0, 0.5, 0.2), Arrow([0, 1, 1], [0, 0, 2])]
    figure = page_grid([panel(MARKS["line"]), panel(*marks)], 2, 300)
    (shape,) = figure.layout.shapes
    assert (shape.xref, shape.yref, shape.x0, shape.x1) == ("x2", "y2", 0.75, 1.25)
    words, head = figure.layout.annotations
    assert (words.text, words.xref, words.x, words.y) == ("a<br>b", "x2", 1.0, 2.0)
    assert (head.axref, head.ax, head.ay, head.x, head.y) == ("x2", 1, 0, 1, 2)


def test_a_grid_of_like_panels_has_two_columns_on_a_narrow_page() -> None:
    names = [f"a system with a long name, {i}" for i in range(9)]
    figure = page_grid([panel(MARKS["line"], title=name) for name in names], 3, 640, alike=True)
    narrow = figure.layout.meta["narrow"]
    for layout, columns in ((figure.layout.to_plotly_json(), 3), (narrow, 2)):
        axes = [layout[f"xaxis{i}" if i > 1 else "xaxis"] for i in range(1, 10)]
        assert len({axis["domain"][0] for axis in axes}) == columns
        # The last row has the label once, and lower panels have the numbers.
        (told,) = [i for i, axis in enumerate(axes) if axis["title"]["text"]]
        assert told >= columns * (8 // columns)
        assert [axis.get("showticklabels", True) for axis in axes] == [
            i + columns >= 9 for i in range(9)
        ]
        titles = [words["text"] for words in layout["annotations"]]
        assert len(set(map(len, titles))) == 1
        assert all(title.endswith("…") and len(title) <= 48 // columns for title in titles)
    # Rows are about as high as before.
    assert narrow["height"] == 640 * 5 // 3
    assert page_grid([panel(MARKS["line"])] * 2, 2, 300, alike=True).layout.meta is None


def test_a_figure_that_is_drawn_already_is_refused(tmp_path) -> None:
    figure = drawn(sheet(panel(MARKS["line"])))
    with pytest.raises(TypeError, match=r"figure 'a' is a Figure; .* popinv\.charts\.description"):
        save(figure, tmp_path / "a.png")
    assert not list(tmp_path.iterdir())


def test_a_picture_and_its_table_are_written_and_the_same_twice(tmp_path) -> None:
    chart = sheet(panel(*MARKS.values()))
    for name in ("a", "b"):
        save(chart, tmp_path / f"{name}.png")
    for kind in ("png", "csv"):
        first, second = ((tmp_path / f"{name}.{kind}").read_bytes() for name in "ab")
        assert first == second
    assert (tmp_path / "a.csv").read_text() == numbers_of_sheet(chart)
    assert b"A title" in (tmp_path / "a.png").read_bytes()
