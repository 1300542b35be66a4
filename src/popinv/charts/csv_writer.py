"""The numbers of charts, as tables.

Each row is a point of a mark: its panel and label, its place, the ends of a bar or a band, and the
value that a colour or a contour shows. Marks across a whole panel, boxes and words have no rows.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from popinv.charts.description import (
    Band,
    Bars,
    Cloud,
    Contours,
    HeatMap,
    Line,
    Mark,
    Panel,
    Points,
    Segments,
    Shape,
    Sheet,
)

COLUMNS = ("panel", "series", "x", "y", "low", "high", "value")
"""The panel and what is drawn, its place, the ends of a bar or a band, and the colour's value."""

# A larger heat map has only every second, third, ... row and column.
_CELLS = 100
_NONE = float("nan")

Row = tuple[float, float, float, float, float]
"""x, y, low, high and value, NaN where a mark has none."""


def numbers_of_sheet(sheet: Sheet) -> str:
    """Return the numbers of a sheet as CSV, with the columns :data:`COLUMNS`."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    for number, panel in enumerate(sheet.panels, 1):
        name = (panel.title or panel.y.label or f"panel {number}").replace("\n", " ")
        for label, *values in numbers_of_panel(panel):
            if np.isfinite(values).any():
                cells = ("" if math.isnan(value) else f"{value:.6g}" for value in values)
                writer.writerow([name, label, *cells])
    return stream.getvalue()


def numbers_of_panel(panel: Panel) -> Iterator[tuple[str, float, float, float, float, float]]:
    """Yield label, x, y, low, high and value of every point of a panel."""
    for mark in panel.marks:
        for row in rows_of(mark):
            yield mark.label, *row


def rows_of(mark: Mark) -> Iterator[Row]:
    """Yield the numbers of a mark."""
    rows = _ROWS.get(type(mark))
    if rows is not None:
        yield from rows(mark)


def _together(*columns: ArrayLike) -> Iterator[tuple[float, ...]]:
    """Yield the corresponding entries of columns; a single entry belongs to all of the others."""
    arrays = (np.atleast_1d(np.asarray(column, dtype=float)) for column in columns)
    yield from zip(*(each.tolist() for each in np.broadcast_arrays(*arrays)), strict=True)


def _cloud(mark: Cloud) -> Iterator[Row]:
    for x, y, value in _together(mark.x, mark.y, _NONE if mark.values is None else mark.values):
        yield x, y, _NONE, _NONE, value


def _points(mark: Line | Points) -> Iterator[Row]:
    if not isinstance(mark, Points) or mark.low is None or mark.high is None:
        for x, y in _together(mark.x, mark.y):
            yield x, y, _NONE, _NONE, _NONE
        return
    for x, y, low, high in _together(mark.x, mark.y, mark.low, mark.high):
        # Intervals without marks have no centres.
        across = _NONE if mark.across and not mark.shown else x
        upright = _NONE if not mark.across and not mark.shown else y
        yield across, upright, low, high, _NONE


def _band(mark: Band) -> Iterator[Row]:
    for x, one, two in _together(mark.x, mark.low, mark.high):
        # A band is not drawn where an end is not known.
        if math.isfinite(one + two):
            yield x, _NONE, min(one, two), max(one, two), _NONE


def _bars(mark: Bars) -> Iterator[Row]:
    for place, low, high in _together(mark.places, mark.low, mark.high):
        x, y = (_NONE, place) if mark.across else (place, _NONE)
        yield x, y, low, high, _NONE


def _segments(mark: Segments) -> Iterator[Row]:
    for x0, y0, x1, y1 in _together(mark.x0, mark.y0, mark.x1, mark.y1):
        # A segment is not drawn where an end is not known.
        if math.isfinite(x0 + y0 + x1 + y1):
            yield x0, y0, _NONE, _NONE, _NONE
            yield x1, y1, _NONE, _NONE, _NONE


def _heat_map(mark: HeatMap) -> Iterator[Row]:
    x, y = mark.centres
    down, across = (-(-int(size) // _CELLS) for size in mark.values.shape)
    for i in range(0, len(y), down):
        for j in range(0, len(x), across):
            yield float(x[j]), float(y[i]), _NONE, _NONE, float(mark.values[i, j])


def _contours(mark: Contours) -> Iterator[Row]:
    ax = Figure().subplots()
    draw = ax.contourf if mark.filled else ax.contour
    drawn = draw(mark.x, mark.y, mark.values, levels=mark.levels)
    for level, path in zip(drawn.levels, drawn.get_paths(), strict=False):
        for x, y in np.asarray(path.vertices).tolist():
            yield x, y, _NONE, _NONE, float(level)


def _shape(mark: Shape) -> Iterator[Row]:
    value = _NONE if mark.value is None else mark.value
    for x, y in _together(mark.x, mark.y):
        yield x, y, _NONE, _NONE, value


_ROWS: Mapping[type[Mark], Callable[[Any], Iterator[Row]]] = {
    Line: _points,
    Points: _points,
    Cloud: _cloud,
    Band: _band,
    Bars: _bars,
    Segments: _segments,
    HeatMap: _heat_map,
    Contours: _contours,
    Shape: _shape,
}
