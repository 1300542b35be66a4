"""Draw panels with plotly, for pages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from popinv.charts.description import (
    Axis,
    Band,
    Bars,
    Cloud,
    Contours,
    HeatMap,
    Line,
    Panel,
    Points,
    Segments,
    Stretch,
    labelled_outside,
)
from popinv.charts.page_chart import GRID, INK, LIGHT
from popinv.charts.plotly_marks import Drawing, colour_bar
from popinv.charts.style import root, root_ticks

# Share of the width of a panel between the panels of a grid.
_GAP = 0.08
# Share of the height of a panel for the titles above the panels.
_TITLE = 0.12
# Pixels of the numbers and the label of an axis.
_LABEL = 56
# Columns of a narrow page, and letters of the titles of a row of panels.
_NARROW, _TITLES = 2, 48


def _axis(**settings: Any) -> dict[str, Any]:
    """Return the settings of an axis without a title."""
    return {
        "title": {"standoff": 8, "font": {"size": 13}},
        "gridcolor": GRID,
        "zeroline": False,
        "linecolor": LIGHT,
        "ticks": "outside",
        "tickcolor": LIGHT,
        "ticklen": 4,
        "automargin": True,
        **settings,
    }


def _empty(height: int) -> go.Figure:
    """Return an empty figure."""
    figure = go.Figure()
    figure.update_layout(
        template="none",
        height=height,
        autosize=True,
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": "system-ui, sans-serif", "size": 13, "color": INK},
        margin={"l": 8, "r": 12, "t": 12, "b": 8},
        legend={
            "orientation": "h",
            "yanchor": "bottom",
            "y": 1.02,
            "x": 0,
            "bgcolor": "rgba(0,0,0,0)",
            "traceorder": "normal",
        },
        hoverlabel={"font": {"family": "system-ui, sans-serif"}},
        hovermode="closest",
        xaxis=_axis(),
        yaxis=_axis(),
    )
    return figure


def page_figure(panels: Sequence[Panel], height: int = 340, choices: bool = False) -> go.Figure:
    """Return panels as a figure.

    Parameters
    ----------
    panels : sequence of Panel
        One panel, or several with ``choices``: all use the axes of the first, and one of them is
        shown at a time.
    """
    first = panels[0]
    figure = _empty(height)
    for number, panel in enumerate(panels):
        drawing = Drawing(figure, panel, _names_of(panel), number if choices else None)
        for mark in panel.marks:
            drawing.draw(mark)
    names = _names_of(first)
    figure.update_xaxes(**_axis_of(first.x, names["x"], upright=False))
    figure.update_yaxes(**_axis_of(first.y, names["y"], upright=True))
    return figure


def page_grid(
    panels: Sequence[Panel | None],
    columns: int,
    height: int,
    alike: bool = False,
    scale: str = "",
) -> go.Figure:
    """Return panels in rows of ``columns``, each with axes of its own; None leaves a place free.

    The series of each panel name its title and the quantities along its axes. Titles are above the
    panels. If all axes are ``alike``, the outer ones have numbers, and there is one label across
    and one upwards. A narrow page then shows at most two columns: ``layout.meta.narrow`` is its
    layout. ``scale`` is the meaning of the colours of clouds, which all panels share.
    """
    figure = _empty(height)
    figure.update_layout(xaxis={"visible": False}, yaxis={"visible": False})
    rows, told = -(-len(panels) // columns), set[str]()
    if alike:
        count = len(panels)
        panels = [p and labelled_outside(p, i, count, columns) for i, p in enumerate(panels)]
    places = [(place, panel) for place, panel in enumerate(panels) if panel is not None]
    titled = any(panel.title for _, panel in places)
    # Labels across that are not in the last row need room.
    inside = any(p.x.labels and p.x.label for i, p in places if i + columns < len(panels))
    gap = max(_GAP, _LABEL * rows / height * inside)
    # The last row may end before the middle.
    lowest = min((rows - 1) * columns + columns // 2, len(panels) - 1)
    for number, (place, panel) in enumerate(places, 1):
        row, column = divmod(place, columns)
        suffix = "" if number == 1 else str(number)
        at = {"xaxis": f"x{suffix}", "yaxis": f"y{suffix}"}
        meta = {"x": panel.x.label, "y": panel.y.label}
        if panel.title:
            meta["panel"] = panel.title
        drawing = Drawing(figure, panel, _names_of(panel), meta, at, told)
        for mark in panel.marks:
            drawing.draw(mark)
        left, top = column / columns, 1 - row / rows
        above, below = _TITLE * titled, 1 - gap
        ends = {
            "x": [left, 1.0 if columns == 1 else left + (1 - _GAP) / columns],
            "y": [top - below / rows, top - above / rows],
        }
        for letter, other, given in (("x", "y", panel.x), ("y", "x", panel.y)):
            name, anchor = f"{letter}axis{suffix}", f"{other}{suffix}"
            figure.update_layout({name: _axis(domain=ends[letter], anchor=anchor, visible=True)})
            figure.layout[name].update(_axis_of(given, drawing.names[letter], letter == "y"))
            middle = place == lowest if letter == "x" else row == (rows - 1) // 2
            if alike and not middle:
                figure.layout[name].title.text = ""
        if panel.title:
            words = {"xanchor": "left", "yanchor": "bottom", "xref": "paper", "yref": "paper"}
            figure.add_annotation(
                text=_fitting(panel.title, columns) if alike else panel.title,
                x=left,
                y=top - above / rows,
                showarrow=False,
                **words,
            )
    if scale and figure.data:
        figure.data[0].marker.update(showscale=True, colorbar=colour_bar(scale))
        figure.update_layout(margin={"b": 120})
    if alike and columns > _NARROW:
        few = page_grid(panels, _NARROW, height * -(-len(panels) // _NARROW) // rows, alike, scale)
        figure.update_layout(meta={"narrow": few.layout.to_plotly_json()})
    return figure


def _fitting(title: str, columns: int) -> str:
    """Return the beginning of a title for which a panel of so many columns has room."""
    most = _TITLES // columns
    return title if len(title) <= most else f"{title[: most - 1]}…"


def _names_of(panel: Panel) -> dict[str, dict[float, str] | None]:
    """Return the names of the places along x and y, where all points have one."""
    return {
        letter: _names_along(panel, axis, letter)
        for letter, axis in (("x", panel.x), ("y", panel.y))
    }


def _names_along(panel: Panel, axis: Axis, letter: str) -> dict[float, str] | None:
    """Return the names of the places of all points along an axis, or None if some have none."""
    if axis.places is None or axis.names is None:
        return None
    words = (name.replace("\n", "<br>") for name in axis.names)
    names = dict(zip(map(float, axis.places), words, strict=True))
    # plotly counts names from 0.
    if len(set(axis.names)) < len(names) or list(names) != list(range(len(names))):
        return None
    values: list[float] = []
    for mark in panel.marks:
        if isinstance(mark, Band | HeatMap | Contours):
            return None
        if isinstance(mark, Stretch) and not mark.upright and letter == "x":
            return None
        if isinstance(mark, Bars) and mark.across == (letter == "y"):
            values += np.ravel(mark.places).tolist()
        elif isinstance(mark, Line | Points | Cloud):
            values += np.ravel(mark.x if letter == "x" else mark.y).tolist()
        elif isinstance(mark, Segments):
            ends = (mark.x0, mark.x1) if letter == "x" else (mark.y0, mark.y1)
            values += [value for end in ends for value in np.ravel(end).tolist()]
    return names if set(values) <= set(names) else None


def _axis_of(given: Axis, names: dict[float, str] | None, upright: bool) -> dict[str, Any]:
    settings: dict[str, Any] = {"title_text": given.label.replace("\n", "<br>")}
    low, high = given.limits
    if given.scale == "log":
        settings["type"] = "log"
        if given.steps and upright:
            # With their own format, ticks between powers of ten are written out.
            settings |= {"dtick": "D2", "tickformat": ".3~g"}
        low, high = (None if end is None else float(np.log10(end)) for end in (low, high))
    if given.scale == "root" and low is not None and high is not None:
        ticks = root_ticks(0.0, high)
        settings |= {"tickvals": root(ticks), "ticktext": [f"{tick:.3g}" for tick in ticks]}
        low, high = root([low, high]).tolist()
    if low is not None and high is not None:
        settings["range"] = [low, high]
    elif given.limits[0] == 0:
        settings["rangemode"] = "tozero"
    if names is not None:
        settings |= {"type": "category", "categoryorder": "array"}
        settings |= {"categoryarray": list(names.values()), "ticks": ""}
    elif given.places is not None and given.names is not None:
        words = [name.replace("\n", "<br>") for name in given.names]
        settings |= {"tickvals": [float(place) for place in given.places], "ticktext": words}
    if not given.grid:
        settings["showgrid"] = False
    if not given.labels:
        settings |= {"showticklabels": False, "title_text": ""}
    if given.ticks is not None and not given.steps:
        settings["nticks"] = given.ticks
    if given.bare:
        settings |= {"visible": False, "fixedrange": True}
    return settings
