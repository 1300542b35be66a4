"""Draw marks into figures of plotly."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import plotly.graph_objects as go

from popinv.charts import style
from popinv.charts.csv_writer import rows_of
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
    Panel,
    Points,
    Reference,
    Segments,
    Shape,
    Stretch,
)
from popinv.charts.page_chart import INK, MODEL, ORACLE, PAPER, TRUTH
from popinv.charts.style import evenly, root, root_ticks, shades

_COLOURS: dict[str, Any] = {
    "sequential": "Cividis",
    # From negative to positive, through the colour of the page.
    "diverging": [[0.0, MODEL], [0.5, PAPER], [1.0, TRUTH]],
    "flow": "Viridis",
    "time": shades("time", np.linspace(0, 1, 9)),
    "grey": "gray",
}

# Largest numbers of drawn points of a line, dots of a cloud, and rows or columns of a heat map.
_POINTS, DOTS, MATRIX = 600, 600, 120
# Pixels of a point of a sheet.
_MARKER, _WIDTH = 1.6, 1.1
_TEXTS = {"texttemplate": "%{text}", "hoverongaps": False, "xgap": 3, "ygap": 3}
_ON_PAGE = {style.ORACLE: ORACLE, style.INK: INK}
_SYMBOLS = {
    "level": "line-ew-open",
    "upright": "line-ns-open",
}


@dataclass(frozen=True)
class Drawing:
    """A panel on its way into a figure.

    Attributes
    ----------
    names : dict
        Names of the places along x and y, or None where some points have none.
    meta : int or dict, optional
        The choice for which it is shown, or the names of its quantities.
    at : dict
        The axes of its traces.
    told : set of str, optional
        Names that the legend already has, if several panels are shown together.
    """

    figure: go.Figure
    panel: Panel
    names: dict[str, dict[float, str] | None]
    meta: Any = None
    at: Mapping[str, str] = field(default_factory=dict)
    told: set[str] | None = None

    @property
    def axes(self) -> dict[str, str]:
        """The axes of its shapes and words."""
        return {"xref": self.at.get("xaxis", "x"), "yref": self.at.get("yaxis", "y")}

    def draw(self, mark: Mark) -> None:
        """Draw a mark."""
        _DRAWERS[type(mark)](self, mark)

    def add(self, mark: Mark, kind: str, **settings: Any) -> None:
        """Add a trace with the name of a mark."""
        for key, names in self.names.items():
            if names is not None and key in settings:
                settings[key] = [v if v is None else names[v] for v in settings[key]]
            elif key in settings and getattr(self.panel, key).scale == "root":
                settings[key] = root(settings[key])
        settings = {"showlegend": bool(mark.legend and mark.label), **settings}
        name = mark.shown_name
        if self.told is not None:
            settings["legendgroup"] = name
            settings["showlegend"] = settings["showlegend"] and name not in self.told
            self.told.add(name)
        getattr(self.figure, f"add_{kind}")(
            name=name or None, meta=self.meta, **settings, **self.at
        )

    def extent(self, upright: bool) -> list[float]:
        """Return the ends of x, or of y if ``upright``: the limits, or the range of the points."""
        names = self.names["y" if upright else "x"]
        if names is not None:
            return [0.0, len(names) - 1.0]
        axis = self.panel.y if upright else self.panel.x
        low, high = axis.limits
        if low is not None and high is not None:
            return [low, high]
        column = int(upright)
        points = [row[column] for mark in self.panel.marks for row in rows_of(mark)]
        return [float(np.nanmin(points)), float(np.nanmax(points))]


def _faint(colour: str, alpha: float) -> str:
    """Return a transparent version of a colour."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{alpha:g})"


def _colour(mark: Mark) -> str:
    colour = _ON_PAGE.get(mark.colour, mark.colour)
    return colour if mark.alpha >= 1 else _faint(colour, mark.alpha)


def _stroke(mark: Line | Segments | Arrow | Reference) -> dict[str, Any]:
    return {"color": _colour(mark), "width": _WIDTH * mark.width, "dash": mark.dash}


def _few(*columns: Any, most: int = _POINTS) -> list[np.ndarray]:
    """Return columns with as many entries as are drawn, evenly spread."""
    arrays = np.broadcast_arrays(*(np.atleast_1d(column) for column in columns))
    kept = evenly(arrays[0].size, most) if arrays[0].size > most else slice(None)
    return [array[kept] for array in arrays]


def _symbol(mark: Points | Line | Cloud) -> str:
    name = str(mark.marker)
    opened = isinstance(mark, Points) and not mark.filled and name not in _SYMBOLS
    return f"{name}-open" if opened else _SYMBOLS.get(name, name)


def _line(drawing: Drawing, mark: Line) -> None:
    x, y = _few(mark.x, mark.y)
    line = _stroke(mark)
    settings: dict[str, Any] = {"mode": "lines", "line": line}
    if mark.steps is not None:
        line["shape"] = "hvh" if mark.steps == "half way" else "hv"
    if mark.marker is not None:
        settings["mode"] = "lines+markers"
        settings["marker"] = {"symbol": _symbol(mark), "size": _MARKER * mark.size}
    drawing.add(mark, "scatter", x=x, y=y, **settings)


def _points(drawing: Drawing, mark: Points) -> None:
    x, y = np.broadcast_arrays(np.atleast_1d(mark.x), np.atleast_1d(mark.y))
    if not x.size:
        return
    colour = _colour(mark)
    marker: dict[str, Any] = {"color": colour, "size": _MARKER * mark.size, "symbol": _symbol(mark)}
    if "open" in marker["symbol"]:
        marker["line"] = {"width": 2}
    elif mark.edge is not None:
        marker["line"] = {"color": mark.edge, "width": 1}
    settings: dict[str, Any] = {"mode": "markers", "marker": marker}
    if mark.joined is not None:
        line = {"color": colour, "width": _WIDTH * mark.bar, "dash": mark.joined}
        settings |= {"mode": "lines+markers", "line": line}
    if mark.low is not None and mark.high is not None:
        centre = x if mark.across else y
        settings["error_x" if mark.across else "error_y"] = {
            "type": "data",
            "array": np.asarray(mark.high) - centre,
            "arrayminus": centre - np.asarray(mark.low),
            "color": colour,
            "thickness": mark.bar,
            "width": 0,
        }
    if not mark.shown:
        settings |= {"hoverinfo": "skip"}
        marker |= {"size": 1}
    elif mark.hover is not None:
        settings |= {"text": list(mark.hover)}
        settings |= {"hovertemplate": f"%{{text}}<extra>{mark.label}</extra>"}
    drawing.add(mark, "scatter", x=x, y=y, **settings)


def _cloud(drawing: Drawing, mark: Cloud) -> None:
    values = 0.0 if mark.values is None else mark.values
    x, y, shown = _few(mark.x, mark.y, values, most=DOTS)
    if not x.size:
        return
    marker: dict[str, Any] = {"size": 2.0 * mark.size, "symbol": _symbol(mark)}
    settings: dict[str, Any] = {"mode": "markers", "marker": marker}
    if mark.values is None:
        marker["color"] = _colour(mark)
    else:
        marker |= {"color": shown, "colorscale": _COLOURS[mark.colours]}
        marker |= {"cmin": mark.least, "cmax": mark.largest}
        settings |= {"text": [f"{value:.4g}" for value in shown]}
        settings |= {"hovertemplate": f"%{{text}}<extra>{mark.label}</extra>"}
    if mark.edge is not None:
        marker["line"] = {"color": mark.edge, "width": 1}
    drawing.add(mark, "scatter", x=x, y=y, **settings)


def _band(drawing: Drawing, mark: Band) -> None:
    x, low, high = _few(mark.x, mark.low, mark.high)
    line = {"width": 0, "color": mark.colour}
    same: dict[str, Any] = {"x": x, "mode": "lines", "line": line, "hoverinfo": "skip"}
    lower = replace(mark, label=f"{mark.label}, lower end" if mark.label else "", legend=False)
    drawing.add(lower, "scatter", y=low, **same)
    colour = _faint(mark.colour, mark.alpha)
    drawing.add(mark, "scatter", y=high, fill="tonexty", fillcolor=colour, **same)


def _bars(drawing: Drawing, mark: Bars) -> None:
    places, low, high = (np.atleast_1d(v) for v in (mark.places, mark.low, mark.high))
    along, across = ("y", "x") if mark.across else ("x", "y")
    settings: dict[str, Any] = {along: places, across: high - low, "width": mark.width}
    if np.any(low != 0):
        settings["base"] = low
    settings["orientation"] = "h" if mark.across else "v"
    settings["marker"] = {"color": list(mark.colours) if mark.colours else _colour(mark)}
    if mark.texts is not None:
        settings |= {"text": list(mark.texts), "textposition": "outside", "cliponaxis": False}
    if mark.hover is not None:
        settings |= {
            "customdata": list(mark.hover),
            "hovertemplate": "%{customdata}<extra></extra>",
        }
    else:
        settings["hoverinfo"] = "skip"
    drawing.add(mark, "bar", **settings)


def _segments(drawing: Drawing, mark: Segments) -> None:
    x0, y0, x1, y1 = (v.tolist() for v in np.broadcast_arrays(mark.x0, mark.y0, mark.x1, mark.y1))
    x = [end for pair in zip(x0, x1, strict=True) for end in (*pair, None)]
    y = [end for pair in zip(y0, y1, strict=True) for end in (*pair, None)]
    drawing.add(mark, "scatter", x=x, y=y, mode="lines", line=_stroke(mark))


def colour_bar(label: str) -> dict[str, Any]:
    """Return the settings of a scale of colours below a chart."""
    return {
        "title": {"text": label, "side": "bottom", "font": {"size": 13}},
        "orientation": "h",
        "thickness": 12,
        "outlinewidth": 0,
        "nticks": 5,
        "y": 0,
        "yref": "container",
        "yanchor": "bottom",
    }


def _heat_map(drawing: Drawing, mark: HeatMap) -> None:
    x, y = mark.centres
    across, down = (evenly(len(centres), MATRIX) for centres in (x, y))
    values = mark.values[np.ix_(down, across)].astype(np.float32)
    bar = colour_bar(mark.scale)
    settings = {} if mark.texts is None else _TEXTS | {"text": mark.texts}
    shown, ends, told = values, np.array([mark.least, mark.largest]), "z"
    if mark.root:
        ticks = root_ticks(*ends.tolist())
        bar |= {"tickvals": root(ticks), "ticktext": [f"{tick:.3g}" for tick in ticks]}
        shown, ends, told = root(values), root(ends), "customdata"
        settings["customdata"] = values
    if mark.smooth:
        settings["zsmooth"] = "best"
    drawing.add(
        mark,
        "heatmap",
        x=x[across],
        y=y[down],
        z=shown,
        zmin=ends[0],
        zmax=ends[1],
        colorscale=_COLOURS[mark.colours],
        hovertemplate=f"%{{x}}, %{{y}}: %{{{told}:.4g}}<extra></extra>",
        colorbar=bar,
        showlegend=False,
        **settings,
    )
    if mark.extent[2] > mark.extent[3]:
        drawing.figure.update_yaxes(autorange="reversed")
    # Below the map, the colour scale does not narrow it on a small page.
    drawing.figure.update_layout(margin={"b": 120})
    if mark.texts is None and mark.square:
        drawing.figure.update_xaxes(constrain="domain")
        drawing.figure.update_yaxes(scaleanchor="x", constrain="domain")


def _contours(drawing: Drawing, mark: Contours) -> None:
    if mark.filled:
        return
    levels: dict[str, Any] = {"coloring": "lines"}
    settings: dict[str, Any] = {"contours": levels}
    if isinstance(mark.levels, int):
        settings["ncontours"] = mark.levels
    else:
        low, high = min(mark.levels), max(mark.levels)
        levels |= {"start": low, "end": high, "size": (high - low) or 1.0}
    drawing.add(
        mark,
        "contour",
        x=mark.x,
        y=mark.y,
        z=mark.values.round(3),
        line={"width": 2, "dash": mark.dash},
        colorscale=[[0, mark.colour], [1, mark.colour]],
        showscale=False,
        hoverinfo="skip",
        **settings,
    )


def _shape(drawing: Drawing, mark: Shape) -> None:
    colour = mark.colour
    if mark.value is not None:
        share = (mark.value - mark.least) / (mark.largest - mark.least)
        (colour,) = shades(mark.colours, [share])
    line = {"color": colour, "width": _WIDTH * mark.width}
    settings: dict[str, Any] = {"mode": "lines", "line": line, "fill": "toself"}
    drawing.add(mark, "scatter", x=mark.x, y=mark.y, fillcolor=_faint(colour, 0.25), **settings)


def _box(drawing: Drawing, mark: Box) -> None:
    (x0, x1), (y0, y1) = (
        (middle - size / 2, middle + size / 2)
        for middle, size in ((mark.x, mark.width), (mark.y, mark.height))
    )
    look = {"fillcolor": _colour(mark), "line": {"color": INK, "width": 1}, "layer": "below"}
    axes = drawing.axes
    drawing.figure.add_shape(type="rect", x0=x0, x1=x1, y0=y0, y1=y1, **look, **axes)
    words = mark.text.replace("\n", "<br>")
    drawing.figure.add_annotation(text=words, x=mark.x, y=mark.y, showarrow=False, **axes)


def _arrow(drawing: Drawing, mark: Arrow) -> None:
    drawing.add(mark, "scatter", x=mark.x, y=mark.y, mode="lines", line=_stroke(mark))
    (ax, x), (ay, y) = mark.x[-2:], mark.y[-2:]
    axes = drawing.axes
    tail = {"ax": ax, "ay": ay, "axref": axes["xref"], "ayref": axes["yref"]}
    look = {"arrowhead": 2, "arrowcolor": _colour(mark)}
    drawing.figure.add_annotation(text="", x=x, y=y, **axes, **tail, **look)


def _reference(drawing: Drawing, mark: Reference) -> None:
    line = _stroke(mark)
    if not mark.label:
        # All choices have it.
        if not drawing.meta:
            add = drawing.figure.add_vline if mark.upright else drawing.figure.add_hline
            add(mark.value, line=line, layer="below")
        return
    ends, level = drawing.extent(mark.upright), [mark.value, mark.value]
    x, y = (level, ends) if mark.upright else (ends, level)
    drawing.add(mark, "scatter", x=x, y=y, mode="lines", line=line)


def _stretch(drawing: Drawing, mark: Stretch) -> None:
    if not mark.upright:
        ends = np.array(drawing.extent(upright=False))
        low, high = np.full(2, mark.low), np.full(2, mark.high)
        _band(
            drawing, Band(ends, low, high, label=mark.label, colour=mark.colour, alpha=mark.alpha)
        )
        return
    drawing.figure.add_vrect(
        mark.low, mark.high, fillcolor=_colour(mark), line_width=0, layer="below"
    )


def _nothing(drawing: Drawing, mark: Note | Frame) -> None:
    """Leave notes and frames to the texts of the page."""


_DRAWERS: Mapping[type[Mark], Callable[[Drawing, Any], None]] = {
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
    Shape: _shape,
    Box: _box,
    Arrow: _arrow,
    Frame: _nothing,
    Note: _nothing,
}
