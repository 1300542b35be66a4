"""Draw sheets of panels with matplotlib."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import FuncNorm, Normalize, to_rgba
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from popinv.charts.description import (
    Axis,
    Band,
    Bars,
    Cloud,
    Contours,
    Frame,
    Grid,
    HeatMap,
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
from popinv.charts.style import (
    colour_map,
    labels_once,
    new_figure,
    note,
    root,
    root_ticks,
    shades,
    square,
    styled,
)

_DASHES = {"solid": "-", "dash": "--", "dot": ":", "dashdot": "-."}
_MARKERS = {
    "circle": "o",
    "square": "s",
    "diamond": "D",
    "triangle-down": "v",
    "triangle-up": "^",
    "cross": "+",
    "x": "x",
    "level": "_",
    "upright": "|",
}
# Distance of words from the bar that they belong to, in points.
_ABOVE_BAR = 3
# Opacity of the ground in a shape.
_GROUND = 0.25
# Of a colour that needs light words upon it, from 0 for black to 1 for white.
_DARK = 0.45


@styled
def drawn(sheet: Sheet) -> Figure:
    """Return the figure of a sheet."""
    figure = new_figure(sheet.title, sheet.width, sheet.height)
    _part(figure, sheet.body)
    if sheet.below:
        figure.supxlabel(sheet.below, fontsize=10)
    return figure


def _part(figure: Figure | SubFigure, part: Grid | Parts) -> None:
    if isinstance(part, Grid):
        _grid(figure, part)
        return
    count = len(part.parts)
    space: dict[str, Any]
    if part.down:
        shape, space = (count, 1), {"height_ratios": part.shares, "hspace": 0.02}
    else:
        shape, space = (1, count), {"width_ratios": part.shares, "wspace": 0.02}
    places = figure.subfigures(*shape, squeeze=False, **space)
    for place, each in zip(places.flat, part.parts, strict=True):
        _part(place, each)


def _grid(figure: Figure | SubFigure, grid: Grid) -> None:
    rows = -(-len(grid.panels) // grid.columns)
    axes = figure.subplots(
        rows,
        grid.columns,
        squeeze=False,
        sharex=grid.share_x,
        sharey=grid.share_y,
        height_ratios=grid.heights,
        width_ratios=grid.widths,
    )
    by_row: list[list[Axes]] = [[] for _ in range(rows)]
    images: list[ScalarMappable | None] = [None] * rows
    for place, (ax, panel) in enumerate(zip(axes.flat, grid.panels, strict=False)):
        if panel is None:
            ax.remove()
            continue
        row = place // grid.columns
        images[row] = draw_panel(ax, panel) or images[row]
        if grid.share_x and panel.x.label:
            # Though it shares the axis with others below.
            ax.xaxis.set_tick_params(labelbottom=True)
        by_row[row].append(ax)
    for ax in axes.flat[len(grid.panels) :]:
        ax.remove()
    used = [ax for row in by_row for ax in row]
    if isinstance(grid.scale, str):
        _colour_bar(figure, next(filter(None, images[::-1]), None), used, grid.scale, shrink=0.85)
    elif grid.scale is not None:
        for image, of_row, label in zip(images, by_row, grid.scale, strict=True):
            if label is not None:
                _colour_bar(figure, image, of_row, label, pad=0.01)
    if grid.title:
        figure.suptitle(grid.title, fontsize=11.5, fontweight="normal")
    if grid.legend:
        handles, labels = labels_once(*used)
        if grid.keys:
            handles = [_key(mark) for mark in grid.keys]
            labels = [mark.label for mark in grid.keys]
        figure.legend(handles, labels, loc="outside lower center", ncols=grid.legend)


def _colour_bar(
    figure: Figure | SubFigure,
    image: ScalarMappable | None,
    axes: list[Axes],
    label: str,
    **space: Any,
) -> None:
    if image is None:
        return
    bar = figure.colorbar(image, ax=axes, label=label, **space)
    low, high = image.get_clim()
    if isinstance(image.norm, FuncNorm) and low is not None and high is not None:
        ticks = root_ticks(low, high)
        bar.set_ticks(ticks.tolist(), labels=[f"{tick:.3g}" for tick in ticks])


def draw_panel(ax: Axes, panel: Panel) -> ScalarMappable | None:
    """Draw a panel into axes, and return the last mark that has a scale of colours."""
    image = None
    for mark in panel.marks:
        image = _DRAWERS[type(mark)](ax, mark) or image
    if any(isinstance(mark, HeatMap) for mark in panel.marks):
        ax.grid(False)
    _axis(ax, "x", panel.x)
    _axis(ax, "y", panel.y)
    if panel.equal:
        ax.set_aspect("equal")
    ax.set_title(panel.title, fontsize=panel.title_size)
    if panel.background is not None:
        ax.set_facecolor(panel.background)
        ax.grid(False)
    if panel.legend is not None:
        style: dict[str, Any] = {"loc": panel.legend.place}
        if panel.legend.place == "below":
            style = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.16)}
        style |= {"ncols": panel.legend.columns, "fontsize": panel.legend.size}
        ax.legend(*labels_once(ax), columnspacing=1.0, **style)
    return image


def _axis(ax: Axes, name: Literal["x", "y"], given: Axis) -> None:
    axis = ax.xaxis if name == "x" else ax.yaxis
    axis.set_label_text(given.label)
    if given.scale == "symlog":
        _setter(ax, "scale", name)("symlog", linthresh=given.threshold)
    elif given.scale == "log":
        _setter(ax, "scale", name)("log")
        if given.steps:
            # A few decades have too few powers of ten to read values from.
            axis.set_major_locator(LogLocator(subs=given.steps, numticks=given.ticks))
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axis.set_minor_formatter(NullFormatter())
    elif given.scale == "root":
        _setter(ax, "scale", name)("function", functions=(root, square))
        low, high = given.limits
        ticks = root_ticks(0.0, high or 1.0)
        axis.set_ticks(ticks.tolist(), [f"{tick:.3g}" for tick in ticks])
    elif given.ticks is not None:
        ax.locator_params(axis=name, nbins=given.ticks)
    if given.whole:
        axis.set_major_locator(MaxNLocator(integer=True))
    if given.margin is not None:
        _setter(ax, "margin", name)(given.margin)
    low, high = given.limits
    ends = _setter(ax, "lim", name)
    if low is not None or high is not None:
        ends(low, high)
    if given.room:
        low, high = ax.get_xlim() if name == "x" else ax.get_ylim()
        longer = high * (high / low) ** given.room if given.scale == "log" else None
        ends(low, high + given.room * (high - low) if longer is None else longer)
    if given.places is not None:
        axis.set_ticks(list(given.places), None if given.names is None else list(given.names))
    if not given.minor:
        axis.set_minor_formatter(NullFormatter())
    if given.bare:
        # An empty name keeps the axis away from the edge of the figure.
        axis.set_ticks([0], ["   "])
        ax.tick_params(axis=name, length=0)
        ax.spines["left" if name == "y" else "bottom"].set_visible(False)
    if not given.labels:
        ax.tick_params(axis=name, **{"labelbottom" if name == "x" else "labelleft": False})
    if given.slanted:
        for text in axis.get_ticklabels():
            text.set(rotation=45, ha="right", rotation_mode="anchor")
    if given.size is not None:
        ax.tick_params(axis=name, labelsize=given.size)
    if not given.grid:
        ax.grid(axis=name, visible=False)


def _setter(ax: Axes, what: str, name: str) -> Callable[..., Any]:
    setter: Callable[..., Any] = getattr(ax, f"set_{name}{what}")
    return setter


def _named(mark: Mark) -> dict[str, Any]:
    """Return the label and the colour of an artist; matplotlib hides labels that begin so."""
    label = mark.legend if isinstance(mark.legend, str) else mark.label
    hidden = not mark.legend and label
    return {"label": f"_{label}" if hidden else label or None, "alpha": mark.alpha}


def _line(ax: Axes, mark: Line) -> None:
    style: dict[str, Any] = {"color": mark.colour, "lw": mark.width, "ls": _DASHES[mark.dash]}
    if mark.marker is not None:
        style |= {"marker": _MARKERS[mark.marker], "ms": mark.size}
    if mark.steps is not None:
        style["drawstyle"] = "steps-mid" if mark.steps == "half way" else "steps-post"
    x, y = np.broadcast_arrays(np.atleast_1d(mark.x), np.atleast_1d(mark.y))
    ax.plot(x, y, **style, **_named(mark))


def _marker(mark: Points) -> dict[str, Any]:
    style: dict[str, Any] = {
        "marker": _MARKERS[mark.marker],
        "ms": mark.size,
        "ls": "" if mark.joined is None else _DASHES[mark.joined],
        "lw": 1.2,
        "color": mark.colour,
    }
    if not mark.filled:
        style |= {"mfc": "none", "mew": max(1.0, 0.2 * mark.size)}
    elif mark.marker in ("level", "upright"):
        style["mew"] = 2.0
    return style


def _points(ax: Axes, mark: Points) -> None:
    x, y = np.broadcast_arrays(np.atleast_1d(mark.x), np.atleast_1d(mark.y))
    if mark.low is None or mark.high is None:
        ax.plot(x, y, clip_on=mark.clip, **_marker(mark), **_named(mark))
        return
    centre = x if mark.across else y
    ends = np.array([centre - mark.low, np.asarray(mark.high) - centre])
    style = _marker(mark) if mark.shown else {"fmt": "none", "ecolor": mark.colour}
    bars: dict[str, Any] = {"xerr" if mark.across else "yerr": ends, "elinewidth": mark.bar}
    ax.errorbar(x, y, **bars, **style, **_named(mark))


def _cloud(ax: Axes, mark: Cloud) -> ScalarMappable | None:
    style: dict[str, Any] = {"marker": _MARKERS[mark.marker], "s": mark.size**2, **_named(mark)}
    if mark.values is None:
        style["lw"] = 1.2 if mark.marker in ("x", "cross") else 0
        if mark.edge is not None:
            style |= {"ec": mark.edge, "lw": 0.7}
        ax.scatter(mark.x, mark.y, color=mark.colour, **style)
        return None
    if mark.edge is not None:
        style |= {"ec": mark.edge, "lw": 0.7}
    style |= {"cmap": colour_map(mark.colours), "vmin": mark.least, "vmax": mark.largest}
    return ax.scatter(mark.x, mark.y, c=mark.values, **style)


def _band(ax: Axes, mark: Band) -> None:
    ax.fill_between(mark.x, mark.low, mark.high, color=mark.colour, lw=0, **_named(mark))


def _bars(ax: Axes, mark: Bars) -> None:
    places, low, high = (np.atleast_1d(v) for v in (mark.places, mark.low, mark.high))
    style = {"color": mark.colours or mark.colour, "lw": 0, **_named(mark)}
    if mark.across:
        ax.barh(places, high - low, mark.width, low, **style)
    else:
        ax.bar(places, high - low, mark.width, low, **style)
    for place, end, text in zip(places, high, mark.texts or (), strict=False):
        at = (end, place) if mark.across else (place, end)
        shift = (_ABOVE_BAR, 0) if mark.across else (0, _ABOVE_BAR)
        align: dict[str, Any] = {"va": "center"} if mark.across else {"ha": "center"}
        ax.annotate(text, at, shift, textcoords="offset points", fontsize=9, **align)


def _segments(ax: Axes, mark: Segments) -> None:
    ends = np.broadcast_arrays(*map(np.atleast_1d, (mark.x0, mark.y0, mark.x1, mark.y1)))
    pieces = np.column_stack(ends).astype(float).reshape(-1, 2, 2)
    # An end that is not known would leave the panel without limits.
    pieces = pieces[np.isfinite(pieces).all(axis=(1, 2))]
    style = {"colors": mark.colour, "lw": mark.width, "ls": _DASHES[mark.dash], **_named(mark)}
    ax.add_collection(LineCollection(list(pieces), **style))
    ax.autoscale_view()


def _heat_map(ax: Axes, mark: HeatMap) -> ScalarMappable:
    left, right, bottom, top = mark.extent
    limits: tuple[Any, ...] = (mark.least, mark.largest)
    norm = FuncNorm((root, square), *limits) if mark.root else Normalize(*limits)
    colours = colour_map(mark.colours, mark.steps or 256)
    style: dict[str, Any] = {"interpolation": "bilinear", "interpolation_stage": "data"}
    image = ax.imshow(
        mark.values,
        cmap=colours,
        norm=norm,
        extent=(left, right, bottom, top),
        origin="upper" if bottom > top else "lower",
        aspect="equal" if mark.square else "auto",
        label=mark.label,
        **(style if mark.smooth else {}),
    )
    x, y = mark.centres
    for row, texts in enumerate(mark.texts or ()):
        for column, text in enumerate(texts):
            light = np.dot(colours(norm(mark.values[row, column]))[:3], (0.299, 0.587, 0.114))
            ink = "white" if light < _DARK else "black"
            ax.text(x[column], y[row], text, ha="center", va="center", color=ink)
    return image


def _contours(ax: Axes, mark: Contours) -> None:
    levels = mark.levels if isinstance(mark.levels, int) else list(mark.levels)
    colours = [to_rgba(mark.colour, mark.alpha)]
    if mark.filled:
        ax.contourf(mark.x, mark.y, mark.values, levels=levels, colors=colours)
        return
    lines: dict[str, Any] = {"linestyles": _DASHES[mark.dash], "linewidths": mark.width}
    ax.contour(mark.x, mark.y, mark.values, levels=levels, colors=colours, **lines)


def _shape(ax: Axes, mark: Shape) -> ScalarMappable | None:
    edge, scale = mark.colour, None
    if mark.value is not None:
        scale = ScalarMappable(Normalize(mark.least, mark.largest), colour_map(mark.colours))
        (edge,) = shades(mark.colours, [(mark.value - mark.least) / (mark.largest - mark.least)])
    ax.fill(mark.x, mark.y, fc=to_rgba(edge, _GROUND), ec=edge, lw=mark.width, label=mark.label)
    return scale


def _reference(ax: Axes, mark: Reference) -> None:
    draw = ax.axvline if mark.upright else ax.axhline
    draw(mark.value, color=mark.colour, lw=mark.width, ls=_DASHES[mark.dash], **_named(mark))


def _stretch(ax: Axes, mark: Stretch) -> None:
    draw = ax.axvspan if mark.upright else ax.axhspan
    draw(mark.low, mark.high, color=mark.colour, lw=0, **_named(mark))


def _frame(ax: Axes, mark: Frame) -> None:
    (left, right), (bottom, top) = mark.x, mark.y
    style: dict[str, Any] = {"fill": False, "ec": mark.colour, "lw": mark.width, "zorder": 3}
    ax.add_patch(Rectangle((left, bottom), right - left, top - bottom, **style))


def _note(ax: Axes, mark: Note) -> None:
    if mark.x is None and mark.framed:
        note(ax, mark.text, mark.y)
        return
    style: dict[str, Any] = {"fontsize": mark.size, "color": mark.colour}
    if mark.bold:
        style["fontweight"] = "bold"
    if mark.x is None:
        style |= {"ha": "center", "va": "center", "transform": ax.transAxes}
        ax.text(0.5, mark.y, mark.text, **style)
        return
    across, up = mark.shift
    style |= {"ha": "left" if across else "center", "va": "baseline" if up else "center"}
    if mark.framed:
        style["bbox"] = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1}
    ax.annotate(mark.text, (mark.x, mark.y), mark.shift, textcoords="offset points", **style)


def _key(mark: Mark) -> Line2D:
    """Return what stands for a mark in a legend."""
    style: dict[str, Any] = {"color": mark.colour, "alpha": mark.alpha}
    if isinstance(mark, Points):
        style |= _marker(mark)
    elif isinstance(mark, Line):
        style |= {"lw": mark.width, "ls": _DASHES[mark.dash]}
    elif isinstance(mark, Cloud):
        style |= {"marker": _MARKERS[mark.marker], "ms": mark.size, "mec": mark.edge, "ls": ""}
    return Line2D([], [], **style)


_DRAWERS: Mapping[type[Mark], Callable[[Axes, Any], ScalarMappable | None]] = {
    Line: _line,
    Points: _points,
    Cloud: _cloud,
    Band: _band,
    Bars: _bars,
    Segments: _segments,
    HeatMap: _heat_map,
    Contours: _contours,
    Reference: _reference,
    Stretch: _stretch,
    Frame: _frame,
    Shape: _shape,
    Note: _note,
}
