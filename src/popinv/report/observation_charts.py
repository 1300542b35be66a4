"""Charts of the data beside the fitted model: quantiles, each with its own range."""

from __future__ import annotations

from typing import Any

import numpy as np
import plotly.graph_objects as go

from popinv.charts.plotly_writer import DATA, LIGHT, MODEL, Chart, add_band, faint, new_chart
from popinv.charts.style import axis_label, evenly
from popinv.figures.arrangement import Arrangement
from popinv.figures.predictive_check import PredictiveCheck
from popinv.figures.quantile_ranges import QuantileRanges
from popinv.figures.simulated import LEVELS
from popinv.report.words import rounded

_PANELS = 12
# A mark and a line for each quantile.
_STYLES = (("triangle-down", "dot"), ("circle", "solid"), ("triangle-up", "dash"))


def observation_charts(check: PredictiveCheck) -> list[Chart]:
    """Return quantiles of the data over ranges of the model, and their places in these ranges."""
    data, layout = check.observations["y"], check.bins.layout
    label = axis_label(data.attrs["long_name"], data.attrs["units"])
    drawn = check.ranges
    if not layout.shared_scale:
        # Quantities of different sizes are each shown in their own deviations.
        drawn = drawn.scaled(check.bins.mean(data.values), check.spread)
        label = "less its mean, in standard deviations of the data"
    kept = evenly(len(layout.panels), _PANELS)
    quantiles = new_chart(layout.x_label, label, 400)
    places = new_chart(layout.x_label, "place in its range", 400)
    departure = check.ranges.departure(check.spread)
    for meta, i in enumerate(kept):
        panel = layout.panels[i]
        _quantiles(quantiles, panel.x, drawn.of(panel.rows), meta)
        _places(places, panel.x, departure[:, panel.rows], meta)
    _label(layout, quantiles, places)
    control: dict[str, Any] = {}
    if len(kept) > 1:
        titles = tuple(layout.panels[i].title or f"curve {i + 1}" for i in kept)
        control = {"control": "select", "control_label": "Where", "choices": titles}
    count, outside = check.ranges.outside.size, int(check.ranges.outside.sum())
    pooled = " Neighbouring times or places are taken together." if check.bins.pooled else ""
    told = f"{outside} of {count} quantiles lie outside their ranges"
    return [
        Chart(
            "observations",
            "Observations and the fitted model",
            "Quantiles over the systems, each with its own band: in 95 of 100 data sets of the "
            f"fitted model, noise included, the same quantile lies in it.{pooled}",
            f"Quantiles (5, 50, 95 %) of {len(data)} observed systems over their ranges under the "
            f"fitted model; {told}.",
            quantiles,
            **control,
        ),
        Chart(
            "places",
            "Quantiles in their ranges",
            f"The same quantiles, from the middle of their own range (0) to its ends (±1). {told}; "
            f"{rounded(0.05 * count, 2)} are expected by chance. Departures that persist over "
            "neighbours indicate an error of law, noise or surrogate.",
            f"Places of the quantiles of the data in their ranges, from −1 to 1; {told}.",
            places,
            **control,
        ),
    ]


def _quantiles(figure: go.Figure, x: np.ndarray, ranges: QuantileRanges, meta: int) -> None:
    if meta == 0:
        # One entry of the legend for all bands.
        square = {"color": faint(MODEL, 0.3), "size": 14, "symbol": "square"}
        figure.add_scatter(
            x=[None], y=[None], mode="markers", name="model, 95 % range", marker=square
        )
    for i, (level, (symbol, _)) in enumerate(zip(LEVELS, _STYLES, strict=True)):
        name = f"{100 * level:g} %"
        low, high = ranges.low[i], ranges.high[i]
        add_band(figure, x, low, high, f"model, range of the {name}", meta=meta, legend=False)
        figure.add_scatter(
            x=x,
            y=ranges.middle[i],
            mode="lines",
            name=f"model, {name}",
            showlegend=False,
            line={"color": MODEL, "width": 1.4},
            meta=meta,
        )
        figure.add_scatter(
            x=x,
            y=ranges.observed[i],
            mode="markers",
            name=f"data, {name}",
            meta=meta,
            marker={"color": DATA, "size": 7, "symbol": symbol},
            hovertemplate=f"%{{x:.4g}}: %{{y:.4g}}<extra>data, {name}</extra>",
        )


def _places(figure: go.Figure, x: np.ndarray, departure: np.ndarray, meta: int) -> None:
    end = np.ones(len(x))
    add_band(figure, x, -end, end, "95 % range", LIGHT, meta)
    for level, (symbol, dash), row in zip(LEVELS, _STYLES, departure, strict=True):
        figure.add_scatter(
            x=x,
            y=row,
            mode="lines+markers",
            name=f"{100 * level:g} %",
            meta=meta,
            line={"color": DATA, "dash": dash, "width": 1.3},
            marker={"size": 5, "symbol": symbol},
        )


def _label(layout: Arrangement, *figures: go.Figure) -> None:
    """Write the names of separate quantities on the axis."""
    ticks = layout.ticks(24) if layout.names else None
    if ticks is not None:
        for figure in figures:
            figure.update_xaxes(tickvals=list(ticks[0]), ticktext=ticks[1])
