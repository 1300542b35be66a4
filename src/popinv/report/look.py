"""The style of the pages' charts: colours, and an empty plotly figure.

A colour has the same meaning as in the matplotlib figures. Charts are written in the colours of a
light page. The page itself replaces them by those of a dark page on request.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import plotly.graph_objects as go

from popinv.figures import style

MODEL, TRUTH, DATA = style.MODEL, style.TRUTH, style.DATA
SOLVES, LIGHT = style.CHECK, style.LIGHT
# A shade darker than in the figures, so that lines are visible on the page.
ORACLE = "#B4598D"
PAPER, INK, GRID = "#FDFCFA", "#3D4248", "#E4E1DB"
# The colours on a dark page.
DARK = {
    MODEL: "#56B4E9",
    TRUTH: "#F0A030",
    DATA: "#F5F5F2",
    ORACLE: "#E6A5CB",
    SOLVES: "#2FC79A",
    LIGHT: "#8E959C",
    PAPER: "#15181B",
    INK: "#C9CDD1",
    GRID: "#30353A",
}
# From negative to positive, through the colour of the page.
DIVERGING = [[0.0, MODEL], [0.5, PAPER], [1.0, TRUTH]]

_MANY = 50


@dataclass(frozen=True)
class Chart:
    """A chart with its texts.

    Attributes
    ----------
    name : str
        Unique on its page.
    caption : str
        Text below the chart.
    alternative : str
        Description for readers who cannot see the chart.
    figure : Figure
        Traces with ``meta=k`` are shown only for choice k, all others always. In a chart with axes
        of several quantities, ``meta={"x": ..., "y": ...}`` names those of a trace in the table of
        its numbers.
    control : {"slider", "select"} or None
        Control for the choice.
    choices : tuple of str
        The choices; the first is shown first.
    wide : bool
        Whether it takes the whole width of the page.
    """

    name: str
    title: str
    caption: str
    alternative: str
    figure: go.Figure
    control: Literal["slider", "select"] | None = None
    control_label: str = ""
    choices: tuple[str, ...] = ()
    wide: bool = False

    @property
    def height(self) -> int:
        """Pixels."""
        return int(self.figure.layout.height)

    def json(self) -> str:
        """Return the figure as JSON that may stand in an HTML page."""
        if self.choices:
            for trace in self.figure.data:
                if isinstance(trace.meta, int):
                    trace.visible = int(trace.meta) == 0
        for trace in self.figure.data:
            trace.update({key: _short(trace[key]) for key in ("x", "y", "z") if key in trace})
        text: str = self.figure.to_json()
        for sign in "<>&":
            text = text.replace(sign, f"\\u{ord(sign):04x}")
        return text


def _short(values: Any) -> Any:
    """Return many numbers in single precision, whose seven digits are enough to be drawn."""
    many = isinstance(values, np.ndarray) and values.dtype == float and values.size > _MANY
    return values.astype(np.float32) if many else values


def faint(colour: str, alpha: float) -> str:
    """Return a transparent version of a colour."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{alpha:g})"


def axis(title: str = "", **settings: Any) -> dict[str, Any]:
    """Return the settings of an axis."""
    return {
        "title": {"text": title, "standoff": 8, "font": {"size": 13}},
        "gridcolor": GRID,
        "zeroline": False,
        "linecolor": LIGHT,
        "ticks": "outside",
        "tickcolor": LIGHT,
        "ticklen": 4,
        "automargin": True,
        **settings,
    }


def new_chart(x: str, y: str, height: int = 340, **layout: Any) -> go.Figure:
    """Return an empty figure with titles on its axes."""
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
        xaxis=axis(x),
        yaxis=axis(y),
        **layout,
    )
    return figure


def add_band(
    figure: go.Figure,
    x: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    label: str,
    colour: str = MODEL,
    meta: int | None = None,
    legend: bool = True,
) -> None:
    """Draw a band between two curves.

    Parameters
    ----------
    x, low, high : ndarray of shape (n,)
    label : str
        Its name in the table of the chart's numbers and, if ``legend``, in the legend.
    meta : int, optional
        The choice for which it is shown, by default all.
    """
    line = {"width": 0, "color": colour}
    same = {"x": x, "mode": "lines", "line": line, "hoverinfo": "skip", "meta": meta}
    figure.add_scatter(y=low, name=f"{label}, lower end", showlegend=False, **same)
    figure.add_scatter(
        y=high,
        name=label,
        showlegend=legend,
        fill="tonexty",
        fillcolor=faint(colour, 0.2),
        **same,
    )
