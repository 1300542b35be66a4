"""Draw marks into axes of matplotlib."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import FuncNorm, Normalize, to_rgba
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle
from matplotlib.path import Path

from popinv.charts.description import (
    Arrow,
    Band,
    Bars,
    Box,
    Cloud,
    Contours,
    Frame,
    HeatMap,
    Line,
    Mark,
    Note,
    Points,
    Reference,
    Segments,
    Shape,
    Stretch,
)
from popinv.charts.style import INK, colour_map, root, shades, square

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
# Radius at which an arrow turns, in units of x and y.
_CORNER = 0.15
# Opacity of the ground in a shape.
_GROUND = 0.25
# Brightness below which a colour needs light words upon it, from 0 for black to 1 for white.
_DARK = 0.45


def draw_mark(ax: Axes, mark: Mark) -> ScalarMappable | None:
    """Draw a mark, and return it if it has a scale of colours."""
    return _DRAWERS[type(mark)](ax, mark)


def _named(mark: Mark) -> dict[str, Any]:
    """Return the label and the colour of an artist; matplotlib hides labels that begin so."""
    label = mark.shown_name
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
    if mark.edge is not None:
        style |= {"mec": mark.edge, "mew": 0.6}
    elif not mark.filled:
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


def _box(ax: Axes, mark: Box) -> None:
    corner = mark.x - mark.width / 2, mark.y - mark.height / 2
    shape = f"round,pad=0,rounding_size={0.17 * min(mark.width, mark.height):g}"
    style: dict[str, Any] = {"fc": mark.colour, "ec": INK, "lw": 1.1, "boxstyle": shape}
    ax.add_patch(FancyBboxPatch(corner, mark.width, mark.height, **style, **_named(mark)))
    ax.text(mark.x, mark.y, mark.text, ha="center", va="center", fontsize=mark.size)


def _arrow(ax: Axes, mark: Arrow) -> None:
    corners = np.column_stack([mark.x, mark.y]).astype(float)
    points, codes = [corners[0]], [Path.MOVETO]
    for before, corner, after in zip(corners, corners[1:], corners[2:], strict=False):
        near, far = (
            corner + min(_CORNER / float(np.linalg.norm(end - corner)), 0.5) * (end - corner)
            for end in (before, after)
        )
        points += [near, corner, far]
        codes += [Path.LINETO, Path.CURVE3, Path.CURVE3]
    points.append(corners[-1])
    codes.append(Path.LINETO)
    ax.add_patch(
        FancyArrowPatch(
            path=Path(np.array(points), codes),
            arrowstyle="-|>",
            mutation_scale=13,
            color=mark.colour,
            lw=mark.width,
            ls=_DASHES[mark.dash],
            zorder=0,
        )
    )


def _note(ax: Axes, mark: Note) -> None:
    if mark.x is None and mark.framed:
        ax.text(
            0.5,
            mark.y,
            mark.text,
            transform=ax.transAxes,
            ha="center",
            va="center",
            color=INK,
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.85},
        )
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
    Box: _box,
    Arrow: _arrow,
    Note: _note,
}
