"""The numbers of a picture, read from what is drawn: what the table beside it has to tell."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PathCollection, PolyCollection, QuadMesh
from matplotlib.container import BarContainer, ErrorbarContainer
from matplotlib.contour import ContourSet
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.patches import Polygon

from popinv.charts.csv_writer import COLUMNS, numbers_of_sheet
from popinv.charts.description import Sheet
from popinv.charts.matplotlib_writer import drawn

# Of a larger image every second, third, ... row and column is told.
_IMAGE = 100

# Labels that matplotlib gives.
_AUTOMATIC = re.compile(r"_(child|container|line|nolegend)\w*$")

Row = tuple[str, float, float, float, float, float]
_NONE = float("nan")


def numbers_of(figure: Figure) -> str:
    """Return the numbers of a figure as CSV; see :mod:`popinv.charts.csv_writer`."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    for number, ax in enumerate(figure.get_axes(), 1):
        if ax.get_label() == "<colorbar>":
            continue
        panel = ax.get_title("left") or ax.get_title() or ax.get_ylabel() or f"panel {number}"
        for series, *values in _rows(ax):
            if np.isfinite(values).any():
                cells = ("" if np.isnan(value) else f"{value:.6g}" for value in values)
                writer.writerow([panel.replace("\n", " "), series, *cells])
    return stream.getvalue()


def assert_as_drawn(chart: Sheet) -> None:
    """Check that the table has the rows that the picture shows, in whatever order."""
    told, shown = numbers_of_sheet(chart), numbers_of(drawn(chart))
    assert sorted(told.splitlines()) == sorted(shown.splitlines()), chart.title


def _name(label: object) -> str:
    """Return the name of what is drawn: its label, also one that an underscore hides in legends."""
    text = str(label or "")
    return "" if _AUTOMATIC.match(text) else text.removeprefix("_")


def _rows(ax: Axes) -> Iterator[Row]:
    told: set[int] = set()
    # Its limits, which matplotlib finds when they are asked for, are where some lines end.
    ax.get_xlim(), ax.get_ylim()
    for container in ax.containers:
        name = _name(container.get_label())
        if isinstance(container, ErrorbarContainer):
            line, caps, bars = container.lines
            told |= {id(each) for each in (line, *caps, *bars)}
            yield from _error_bars(name, container)
        elif isinstance(container, BarContainer):
            yield from _bars(name, container)
    for artist in (*ax.get_lines(), *ax.collections, *ax.images, *ax.patches):
        for kind, rows_of in _KINDS.items():
            if isinstance(artist, kind) and id(artist) not in told:
                yield from rows_of(_name(artist.get_label()), artist)
                break


def _points(name: str, points: np.ndarray, value: float = _NONE) -> Iterator[Row]:
    for x, y in points:
        yield name, float(x), float(y), _NONE, _NONE, value


def _line(name: str, line: Line2D) -> Iterator[Row]:
    # Others are in the coordinates of the panel.
    if line.axes is not None and line.get_transform() == line.axes.transData:
        pair = np.broadcast_arrays(*line.get_data(orig=False))
        yield from _points(name, np.column_stack(pair).astype(float))


def _polygon(name: str, patch: Polygon) -> Iterator[Row]:
    if patch.axes is not None and patch.get_data_transform() == patch.axes.transData:
        yield from _points(name, patch.get_xy())


def _contours(name: str, contours: ContourSet) -> Iterator[Row]:
    for level, path in zip(contours.levels, contours.get_paths(), strict=False):
        yield from _points(name or "contour", np.asarray(path.vertices), float(level))


def _marks(name: str, marks: PathCollection) -> Iterator[Row]:
    places: np.ndarray = np.ma.filled(np.ma.asarray(marks.get_offsets(), dtype=float), _NONE)
    colours = marks.get_array()
    values = np.full(len(places), _NONE)
    if colours is not None:
        values = np.ma.filled(np.ma.asarray(colours, dtype=float), _NONE)
    for (x, y), value in zip(places, values, strict=True):
        yield name, float(x), float(y), _NONE, _NONE, float(value)


def _mesh(name: str, mesh: QuadMesh) -> Iterator[Row]:
    corners = np.asarray(mesh.get_coordinates())
    centres = (corners[:-1, :-1] + corners[1:, 1:]) / 2
    yield from _cells(name, centres, np.asarray(mesh.get_array()))


def _segments(name: str, lines: LineCollection) -> Iterator[Row]:
    for segment in lines.get_segments():
        yield from _points(name, np.asarray(segment))


def _bands(name: str, bands: PolyCollection) -> Iterator[Row]:
    for path in bands.get_paths():
        yield from _band(name, np.asarray(path.vertices))


def _bars(name: str, container: BarContainer) -> Iterator[Row]:
    for bar in container.patches:
        (x0, y0), (x1, y1) = np.asarray(bar.get_bbox().get_points(), dtype=float)
        if container.orientation == "horizontal":
            yield name, _NONE, (y0 + y1) / 2, x0, x1, _NONE
        else:
            yield name, (x0 + x1) / 2, _NONE, y0, y1, _NONE


def _error_bars(name: str, container: ErrorbarContainer) -> Iterator[Row]:
    line, _, bars = container.lines
    if line is None:
        # Bars without points: only the ends are drawn.
        for segment in (each for bar in bars for each in bar.get_segments()):
            along, low, high = _ends(segment)
            place = [_NONE, _NONE]
            place[1 - along] = float(segment[0, 1 - along])
            yield name, place[0], place[1], low, high, _NONE
        return
    x, y = (np.asarray(each, dtype=float) for each in line.get_data(orig=False))
    ends = np.full((len(x), 2), _NONE)
    for bar in bars:
        for i, segment in enumerate(bar.get_segments()):
            ends[i] = _ends(segment)[1:]
    for i in range(len(x)):
        yield name, float(x[i]), float(y[i]), float(ends[i, 0]), float(ends[i, 1]), _NONE


def _ends(segment: np.ndarray) -> tuple[int, float, float]:
    """Return the axis along which a bar lies, y unless it is longer along x, and its ends."""
    along = int(np.ptp(segment[:, 1]) >= np.ptp(segment[:, 0]))
    return along, float(segment[:, along].min()), float(segment[:, along].max())


def _band(name: str, vertices: np.ndarray) -> Iterator[Row]:
    """Return the two edges of a band by ``fill_between``, or the vertices of another polygon."""
    count = (len(vertices) - 3) // 2
    edge, other = vertices[1 : count + 1], vertices[count + 2 : 2 * count + 2][::-1]
    if len(vertices) != 2 * count + 3 or not np.array_equal(edge[:, 0], other[:, 0]):
        yield from _points(name, vertices)
        return
    for (x, one), (_, two) in zip(edge, other, strict=True):
        yield name, float(x), _NONE, float(min(one, two)), float(max(one, two)), _NONE


def _image(name: str, image: AxesImage) -> Iterator[Row]:
    values: np.ndarray = np.ma.filled(np.ma.asarray(image.get_array(), dtype=float), _NONE)
    if values.ndim != 2:
        return
    left, right, bottom, top = image.get_extent()
    rows, columns = values.shape
    x = left + (np.arange(columns) + 0.5) * (right - left) / columns
    first, last = (top, bottom) if image.origin == "upper" else (bottom, top)
    y = first + (np.arange(rows) + 0.5) * (last - first) / rows
    centres = np.stack(np.meshgrid(x, y), axis=-1)
    yield from _cells(name, centres, values)


def _cells(name: str, centres: np.ndarray, values: np.ndarray) -> Iterator[Row]:
    values = values.reshape(centres.shape[:2])
    down, across = (-(-int(size) // _IMAGE) for size in centres.shape[:2])
    for row, of_row in zip(centres[::down, ::across], values[::down, ::across], strict=True):
        for (x, y), value in zip(row, of_row, strict=True):
            yield name, float(x), float(y), _NONE, _NONE, float(value)


_KINDS: dict[type, Callable[[str, Any], Iterator[Row]]] = {
    Line2D: _line,
    ContourSet: _contours,
    PathCollection: _marks,
    QuadMesh: _mesh,
    LineCollection: _segments,
    PolyCollection: _bands,
    AxesImage: _image,
    Polygon: _polygon,
}
