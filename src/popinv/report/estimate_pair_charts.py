"""Chart of the draws about the estimate, two parameters at a time."""

from __future__ import annotations

import numpy as np

from popinv.charts.plotly_writer import DATA, MODEL, TRUTH, Chart, faint, new_chart
from popinv.figures.estimate_pairs import EstimatePairs
from popinv.report.pair_charts import PANEL, add_panel
from popinv.report.words import readable

# The share of its panel that a cloud of draws leaves free on each side.
_MARGIN = 0.08


def estimate_pair_chart(pairs: EstimatePairs | None) -> Chart | None:
    """Return the draws about the estimate two by two, or None if there are none."""
    if pairs is None:
        return None
    side = len(pairs.names) - 1
    figure = new_chart("", "", height=90 + max(330, PANEL * side))
    figure.update_layout(xaxis={"visible": False}, yaxis={"visible": False})
    names = [readable(name) for name in pairs.names]
    every = np.vstack([pairs.draws, pairs.estimate, pairs.true])
    low, high = np.nanmin(every, axis=0), np.nanmax(every, axis=0)
    pad = _MARGIN * (high - low)
    ranges = np.column_stack([low - pad, high + pad])
    titles = [name.replace(" ", "<br>") for name in names]
    for i in range(1, side + 1):
        for j in range(i):
            number = 1 + (i - 1) * side + j
            axes = [(titles[k], ranges[k], False) for k in (j, i)]
            add_panel(figure, side, i, j, number, axes, ticks=3)
            at = {"xaxis": f"x{number}", "yaxis": f"y{number}"} if number > 1 else {}
            for values, label, mark in (
                (pairs.draws, "draws", {"color": faint(MODEL, 0.45), "size": 4}),
                (pairs.estimate[None], "the answer", {"color": DATA, "size": 9, "symbol": "cross"}),
                (pairs.true[None], "truth", {"color": TRUTH, "size": 10, "symbol": "x"}),
            ):
                if np.isfinite(values[:, [i, j]]).all():
                    told = f"{names[j]} %{{x:.4g}}<br>{names[i]} %{{y:.4g}}"
                    figure.add_scatter(
                        x=values[:, j].astype(np.float32),
                        y=values[:, i].astype(np.float32),
                        mode="markers",
                        marker=mark,
                        name=label,
                        legendgroup=label,
                        showlegend=number == 1,
                        meta={"x": names[j], "y": names[i]},
                        hovertemplate=f"{told}<extra>{label}</extra>",
                        **at,
                    )
    correlation = pairs.correlation
    couples = sorted(
        ((i, j) for i in range(side + 1) for j in range(i)), key=lambda c: -abs(correlation[c])
    )
    told = "; ".join(f"{names[j]} and {names[i]} {correlation[i, j]:.2f}" for i, j in couples[:5])
    told = told.replace("-", "−")
    source = (
        "Each dot is the estimate from resampled systems."
        if pairs.resampled
        else "Each dot is a draw of the estimate's normal law."
    )
    more = (
        f" The {len(names)} of {pairs.count} parameters with the strongest correlations are shown."
        if pairs.count > len(names)
        else ""
    )
    return Chart(
        "estimate-pairs",
        "Parameters of law and noise together",
        f"{source} Parameters in a narrow oblique cloud are determined together, not one by one."
        f"{more} Strongest correlations: {told}.",
        f"Scatter of the draws about the estimate, two parameters at a time. Correlations: {told}.",
        figure,
        wide=True,
    )
