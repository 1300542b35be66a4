"""The contents of a chart, independent of the library that draws it.

A panel is a pair of axes with marks: lines, points with intervals, bands, bars, segments, heat
maps, outlines, reference lines and notes. Every mark holds its own numbers.
:mod:`popinv.charts.matplotlib_writer` draws sheets of panels, :mod:`popinv.charts.plotly_writer`
draws panels of a page, and :mod:`popinv.charts.csv_writer` writes the numbers of both.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypedDict

import numpy as np
from numpy.typing import ArrayLike

Dash = Literal["solid", "dash", "dot", "dashdot"]
Marker = Literal[
    "circle", "square", "diamond", "triangle-down", "triangle-up", "cross", "x", "level", "upright"
]
Colours = Literal["sequential", "diverging", "flow", "time", "grey"]
"""Colours of values: in general, on both sides of zero, of a flow beside its ground, of times, and
of photographs; see `popinv.charts.style.colour_map`."""


@dataclass(frozen=True, kw_only=True)
class Mark:
    """Anything that is drawn in a panel.

    Attributes
    ----------
    label : str
        Its name in the table of numbers and in the legend.
    legend : bool or str
        Whether it is in the legend, or its name there.
    alpha : float
        Opacity.
    """

    label: str = ""
    colour: str = "#000000"
    alpha: float = 1.0
    legend: bool | str = True

    @property
    def shown_name(self) -> str:
        """Its name in a legend."""
        return self.legend if isinstance(self.legend, str) else self.label


class Look(TypedDict):
    """The common attributes of marks of the same quantity."""

    label: str
    colour: str


@dataclass(frozen=True)
class Line(Mark):
    """A curve through points (n,).

    With ``steps``, its values change half way between them, or at each of them to its own value.
    With ``marker``, the points themselves are marked too. ``width`` is in points.
    """

    x: ArrayLike
    y: ArrayLike
    dash: Dash = "solid"
    width: float = 1.8
    marker: Marker | None = None
    size: float = 6.0
    steps: Literal["half way", "at points"] | None = None


@dataclass(frozen=True)
class Points(Mark):
    """Marks at points (n,), with intervals if the ends ``low`` and ``high`` are given.

    Attributes
    ----------
    size : float
        In points.
    filled : bool
        Whether the mark is filled; otherwise its outline is drawn.
    low, high : array_like of shape (n,), optional
        Ends of an interval along y, or along x if ``across``.
    shown : bool
        Whether the marks themselves are drawn, and not the intervals alone.
    bar : float
        Width of the interval's bar, in points.
    edge : str, optional
        Colour of the outlines of filled marks.
    joined : Dash, optional
        How a line through the marks is drawn.
    clip : bool
        Whether marks end at the edge of the panel.
    hover : sequence of str, optional
        What a page shows for each point.
    """

    x: ArrayLike
    y: ArrayLike
    marker: Marker = "circle"
    size: float = 6.0
    filled: bool = True
    low: ArrayLike | None = None
    high: ArrayLike | None = None
    across: bool = False
    shown: bool = True
    bar: float = 1.2
    edge: str | None = None
    joined: Dash | None = None
    clip: bool = True
    hover: Sequence[str] | None = None


@dataclass(frozen=True)
class Cloud(Mark):
    """Many small marks at points (n,).

    Attributes
    ----------
    size : float
        In points.
    values : array_like of shape (n,), optional
        Values that the colours show, from ``least`` to ``largest``.
    edge : str, optional
        Colour of the outlines.
    """

    x: ArrayLike
    y: ArrayLike
    marker: Marker = "circle"
    size: float = 2.2
    values: ArrayLike | None = None
    least: float | None = None
    largest: float | None = None
    colours: Colours = "sequential"
    edge: str | None = None


@dataclass(frozen=True)
class Band(Mark):
    """The area between two curves (n,)."""

    x: ArrayLike
    low: ArrayLike
    high: ArrayLike


@dataclass(frozen=True)
class Bars(Mark):
    """Bars from ``low`` to ``high`` (n,) at places (n,), upright or, if ``across``, lying.

    ``colours`` gives each its own colour, ``width`` is in units of the places, and ``texts`` are
    written at the ends.
    """

    places: ArrayLike
    low: ArrayLike
    high: ArrayLike
    width: float = 0.8
    across: bool = False
    colours: Sequence[str] | None = None
    texts: Sequence[str] | None = None
    hover: Sequence[str] | None = None


@dataclass(frozen=True)
class Segments(Mark):
    """Straight pieces from (x0, y0) to (x1, y1), each of shape (n,)."""

    x0: ArrayLike
    y0: ArrayLike
    x1: ArrayLike
    y1: ArrayLike
    dash: Dash = "solid"
    width: float = 1.8


@dataclass(frozen=True)
class HeatMap(Mark):
    """Values (rows, columns) on cells, in colours from ``least`` to ``largest``.

    Attributes
    ----------
    extent : (float, float, float, float)
        Left, right, bottom and top edge. The first row is at the top if bottom is larger.
    scale : str
        Meaning of the colours.
    texts : sequence of sequence of str, optional
        Texts of the cells.
    square : bool
        Whether x and y have the same scale.
    smooth : bool
        Whether values are interpolated between the cells.
    steps : int, optional
        Number of colours on a sheet; their edges are lines of equal values.
    root : bool
        Whether colours are proportional to the square root, with the sign of the value.
    """

    values: np.ndarray
    extent: tuple[float, float, float, float]
    least: float
    largest: float
    colours: Colours = "sequential"
    scale: str = ""
    texts: Sequence[Sequence[str]] | None = None
    square: bool = True
    smooth: bool = False
    steps: int | None = None
    root: bool = False

    @property
    def centres(self) -> tuple[np.ndarray, np.ndarray]:
        """Centres of the columns and of the rows."""
        left, right, bottom, top = self.extent
        rows, columns = self.values.shape
        first, last = (top, bottom) if bottom > top else (bottom, top)
        x = left + (np.arange(columns) + 0.5) * (right - left) / columns
        return x, first + (np.arange(rows) + 0.5) * (last - first) / rows


@dataclass(frozen=True)
class Contours(Mark):
    """Lines of equal values (rows along y, columns along x), or the areas between two levels.

    ``levels`` are the values, or about how many there are.
    """

    x: np.ndarray
    y: np.ndarray
    values: np.ndarray
    levels: Sequence[float] | int
    dash: Dash = "solid"
    width: float = 1.3
    filled: bool = False


@dataclass(frozen=True)
class Reference(Mark):
    """A line across the whole panel at a value of y, or of x if ``upright``."""

    value: float
    upright: bool = False
    dash: Dash = "solid"
    width: float = 1.4


@dataclass(frozen=True)
class Stretch(Mark):
    """The whole panel between two values of y, or of x if ``upright``."""

    low: float
    high: float
    upright: bool = False


@dataclass(frozen=True)
class Frame(Mark):
    """The outline of a rectangle, between two values of x and two of y."""

    x: tuple[float, float]
    y: tuple[float, float]
    width: float = 1.5


@dataclass(frozen=True)
class Shape(Mark):
    """The outline of a body through points (n,), which is closed, and in it a faint ground.

    With ``value``, its colour shows the value between ``least`` and ``largest``.
    """

    x: ArrayLike
    y: ArrayLike
    width: float = 1.4
    value: float | None = None
    least: float = 0.0
    largest: float = 1.0
    colours: Colours = "sequential"


@dataclass(frozen=True)
class Box(Mark):
    """A box with words, about a point, on a ground of its colour."""

    text: str
    x: float
    y: float
    width: float
    height: float
    size: float = 10.0


@dataclass(frozen=True)
class Arrow(Mark):
    """An arrow along straight pieces through points (n,), with round turns; ``width`` in points."""

    x: Sequence[float]
    y: Sequence[float]
    dash: Dash = "solid"
    width: float = 1.3


@dataclass(frozen=True)
class Note(Mark):
    """Words at a point or, without ``x``, in the middle of a panel at a share of its height.

    ``size`` is in points; ``framed`` words have a white ground. ``shift`` moves words from a point
    across and up, in points; words that are shifted across begin there.
    """

    text: str
    x: float | None = None
    y: float = 0.5
    size: float | None = None
    framed: bool = True
    bold: bool = False
    shift: tuple[float, float] = (0.0, 9.0)


@dataclass(frozen=True)
class Axis:
    """One axis of a panel.

    Attributes
    ----------
    scale : {"linear", "log", "symlog", "root"}
        A symmetric logarithm is linear below ``threshold``. A root needs both limits.
    steps : tuple of float
        Multiples of powers of ten that a logarithmic axis marks; by default whole powers.
    limits : (float or None, float or None)
        None is left to the data. The first may be the larger.
    places, names : optional
        Texts along the axis, and their places.
    slanted : bool
        Whether the names are slanted, where upright ones have no room.
    bare : bool
        Whether nothing of the axis is drawn.
    labels : bool
        Whether ticks have their numbers.
    size : float, optional
        Size of the names, in points.
    room : float
        Share of its length that is added at the end, for a legend.
    margin : float, optional
        Share of the data's range that is left free on both sides.
    ticks : int, optional
        The most ticks.
    whole : bool
        Whether ticks are at whole numbers alone.
    minor : bool
        Whether small ticks between the others may have numbers.
    """

    label: str = ""
    scale: Literal["linear", "log", "symlog", "root"] = "linear"
    threshold: float = 1.0
    steps: tuple[float, ...] = ()
    limits: tuple[float | None, float | None] = (None, None)
    places: Sequence[float] | np.ndarray | None = None
    names: Sequence[str] | None = None
    slanted: bool = False
    grid: bool = True
    bare: bool = False
    labels: bool = True
    size: float | None = None
    room: float = 0.0
    margin: float | None = None
    ticks: int | None = None
    whole: bool = False
    minor: bool = True


@dataclass(frozen=True)
class Legend:
    """The place of the names of marks, in a panel or below it, and the number of columns."""

    place: Literal[
        "best", "upper right", "upper left", "upper center", "center right", "lower left", "below"
    ] = "best"
    columns: int = 1
    size: float | None = None


@dataclass(frozen=True)
class Panel:
    """Marks over a pair of axes.

    Attributes
    ----------
    legend : Legend, optional
        On a sheet; on a page, a chart has one for all its panels.
    background : str, optional
        Colour of the panel.
    equal : bool
        Whether x and y have the same scale.
    """

    x: Axis
    y: Axis
    marks: Sequence[Mark]
    title: str = ""
    title_size: float | None = None
    legend: Legend | None = None
    background: str | None = None
    equal: bool = False


def labelled_outside(panel: Panel, place: int, count: int, columns: int) -> Panel:
    """Return a panel of a grid of ``count`` with numbers along its axes only where it is outer."""
    x = replace(panel.x, labels=place + columns >= count)
    return replace(panel, x=x, y=replace(panel.y, labels=place % columns == 0))


@dataclass(frozen=True)
class Grid:
    """Panels side by side, in rows of ``columns``; None leaves a place free.

    Attributes
    ----------
    share_x, share_y : bool, "col" or "row"
        Whether all panels, or the panels of a column or row, have the same range. Only outer panels
        then have labels at ticks.
    heights, widths : sequence of float, optional
        Relative ones of rows and columns.
    legend : int
        Number of columns of a common legend below, 0 for none.
    keys : sequence of Mark
        Marks of the common legend, by default all marks.
    title : str
        Title of this part of the sheet.
    scale : str, or sequence of str or None, optional
        The meaning of the colours in all panels, or in each row.
    """

    panels: Sequence[Panel | None]
    columns: int = 1
    share_x: bool | Literal["col"] = False
    share_y: bool | Literal["row"] = False
    heights: Sequence[float] | None = None
    widths: Sequence[float] | None = None
    legend: int = 0
    keys: Sequence[Mark] = ()
    title: str = ""
    scale: str | Sequence[str | None] | None = None


@dataclass(frozen=True)
class Parts:
    """Parts of a sheet beside each other or, if ``down``, below each other."""

    parts: Sequence[Grid | Parts]
    down: bool = False
    shares: Sequence[float] | None = None


@dataclass(frozen=True)
class Sheet:
    """A picture of panels with a title and optional words below; its size is in inches."""

    title: str
    width: float
    height: float
    body: Grid | Parts
    below: str = ""

    @property
    def panels(self) -> list[Panel]:
        """All panels, in the order in which they are drawn."""
        return list(_panels(self.body))


def _panels(part: Grid | Parts) -> Iterator[Panel]:
    if isinstance(part, Grid):
        yield from (panel for panel in part.panels if panel is not None)
        return
    for each in part.parts:
        yield from _panels(each)
