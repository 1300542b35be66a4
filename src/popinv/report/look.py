"""The look of the pages' charts: colours, and a figure of plotly to begin with.

A colour means the same as in the figures that matplotlib draws. Charts are written in the colours
of a light page; the page itself exchanges them for those of a dark one where that is asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import plotly.graph_objects as go

from popinv.figures import style

__all__ = [
    "DARK",
    "DATA",
    "DIVERGING",
    "GRID",
    "INK",
    "LIGHT",
    "MODEL",
    "ORACLE",
    "PAPER",
    "SOLVES",
    "TRUTH",
    "Chart",
    "axis",
    "faint",
    "new_chart",
]

MODEL, TRUTH, DATA = style.MODEL, style.TRUTH, style.DATA
SOLVES, LIGHT = style.CHECK, style.LIGHT
# A shade darker than in the figures, so that lines stand out against the page.
ORACLE = "#B4598D"
PAPER, INK, GRID = "#FDFCFA", "#3D4248", "#E4E1DB"
# What each becomes on a dark page.
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


@dataclass(frozen=True)
class Chart:
    """A chart with the words around it.

    Attributes
    ----------
    name : str
        Unique on its page.
    title : str
    caption : str
        What is to be seen, for everybody.
    alternative : str
        What there is to see, for those who do not see it.
    figure : Figure
        Traces with ``meta=k`` are shown with choice k alone, all others always.
    control : {"slider", "select"} or None
        How to choose.
    control_label : str
    choices : tuple of str
        What can be chosen; the first is shown first.
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
                if trace.meta is not None:
                    trace.visible = int(trace.meta) == 0
        text: str = self.figure.to_json()
        for sign in "<>&":
            text = text.replace(sign, f"\\u{ord(sign):04x}")
        return text


def faint(colour: str, alpha: float) -> str:
    """Return a colour that lets the page shine through."""
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
    """Return an empty figure with titles at its axes."""
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
