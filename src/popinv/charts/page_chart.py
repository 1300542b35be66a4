"""A chart of a page with its texts, and the colours of light and dark pages.

A colour has the same meaning as on the sheets. Charts are written in the colours of a light page.
The page itself replaces them by the colours of a dark page on request.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import plotly.graph_objects as go

from popinv.charts import style

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

# Larger arrays are written in single precision.
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
        of several quantities, ``meta={"x": ..., "y": ...}`` names the quantities of a trace in the
        table of its numbers, and ``panel`` names its panel.
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
