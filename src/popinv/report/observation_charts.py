"""Charts of the data beside the fitted model: quantiles, each with its own range."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from popinv.charts.page_chart import Chart
from popinv.charts.plotly_writer import page_figure
from popinv.charts.style import evenly
from popinv.figures.observations import quantile_panels
from popinv.figures.predictive_check import PredictiveCheck
from popinv.report.formats import rounded

_PANELS = 12


def observation_charts(check: PredictiveCheck) -> list[Chart]:
    """Return quantiles of the data over ranges of the model, and their places in these ranges."""
    quantiles, places = zip(*quantile_panels(check, _PANELS), strict=True)
    several = len(quantiles) > 1
    if not check.bins.layout.shared_scale:
        quantiles = tuple(
            replace(each, y=replace(each.y, limits=(None, None))) for each in quantiles
        )
    control: dict[str, Any] = {}
    if several:
        kept = evenly(len(check.bins.layout.panels), _PANELS)
        titles = [panel.title or f"curve {i + 1}" for panel, i in zip(quantiles, kept, strict=True)]
        control = {"control": "select", "control_label": "Where", "choices": tuple(titles)}
    count, outside = check.ranges.outside.size, int(check.ranges.outside.sum())
    pooled = " Neighbouring times or places are taken together." if check.bins.pooled else ""
    told = f"{outside} of {count} quantiles lie outside their ranges"
    return [
        Chart(
            "observations",
            "Observations and the fitted model",
            "Quantiles over the systems, each with its own band: in 95 of 100 data sets of the "
            f"fitted model, noise included, the same quantile lies in it.{pooled}",
            f"Quantiles (5, 50, 95 %) of {check.observations.sizes['system']} observed systems "
            f"over their ranges under the fitted model; {told}.",
            page_figure(quantiles, 400, choices=several),
            **control,
        ),
        Chart(
            "places",
            "Quantiles in their ranges",
            f"The same quantiles, from the middle of their own range (0) to its ends (±1). {told}; "
            f"{rounded(0.05 * count, 2)} are expected by chance. Departures that persist over "
            "neighbours indicate an error of law, noise or surrogate.",
            f"Places of the quantiles of the data in their ranges, from −1 to 1; {told}.",
            page_figure(places, 400, choices=several),
            **control,
        ),
    ]
