"""Charts for judging the answer: the model beside the data, the tests, the descent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from popinv.figures.arrangement import Arrangement, Panel, evenly
from popinv.figures.observations import QUANTILES, spread_of
from popinv.figures.style import axis_label
from popinv.report.look import (
    DATA,
    LIGHT,
    MODEL,
    TRUTH,
    Chart,
    faint,
    new_chart,
)
from popinv.report.words import readable, rounded

__all__ = ["descent_charts", "observation_charts", "test_chart"]

_PANELS = 12
# Number of parameters whose path can be selected, and of iterations along a path.
_PATHS = 24
_STEPS = 400
# Names of the tests on held-out systems, and their entries of metrics.json.
_TESTS = (
    ("held-out systems", "heldout_energy_distance", "heldout_energy_null_95", "heldout_p_value"),
    (
        "family of the noise",
        "noise_misfit_statistic",
        "noise_misfit_null_95",
        "noise_misfit_p_value",
    ),
)
# Standard error of the median of N normal numbers, in standard deviations over sqrt(N).
_MEDIAN_ERROR = np.sqrt(np.pi / 2)


def test_chart(metrics: Mapping[str, Any]) -> Chart | None:
    """Return the statistics of the two tests, with the bands in which they stay by chance."""
    tests = [
        (name, metrics[statistic], metrics[null], metrics[p])
        for name, statistic, null, p in _TESTS
        if null in metrics and p in metrics
    ]
    if not tests:
        return None
    figure = new_chart("statistic over its 95 % quantile", "", height=110 + 60 * len(tests))
    names = [name for name, *_ in tests]
    ratios = [statistic / null if null else np.nan for _, statistic, null, _ in tests]
    figure.add_bar(
        y=names,
        x=[1.0] * len(names),
        orientation="h",
        name="95 of 100 when the model is right",
        marker={"color": faint(MODEL, 0.2)},
        width=0.7,
        hoverinfo="skip",
    )
    figure.add_scatter(
        y=names,
        x=ratios,
        mode="markers",
        name="found",
        marker={"color": DATA, "size": 12, "symbol": "diamond"},
        text=[
            f"statistic {rounded(statistic, 3)}, 95 % quantile {rounded(null, 3)}, "
            f"p = {rounded(p, 2)}"
            for _, statistic, null, p in tests
        ],
        hovertemplate="%{text}<extra></extra>",
    )
    figure.update_xaxes(rangemode="tozero")
    figure.update_yaxes(autorange="reversed", showgrid=False, ticks="")
    words = "; ".join(
        f"{name} {rounded(ratio, 2)} of the quantile, p = {rounded(p, 2)}"
        for (name, _, _, p), ratio in zip(tests, ratios, strict=True)
    )
    return Chart(
        "tests",
        "Two tests on systems that were kept aside",
        "If the model is right, a statistic lies within the band in 95 of 100 cases.",
        f"Test statistics over their null's 95 % quantile: {words}.",
        figure,
        wide=True,
    )


def observation_charts(
    observations: xr.Dataset, layout: Arrangement, sample: np.ndarray
) -> list[Chart]:
    """Return the quantiles of the data and of the fitted model, and their differences.

    Parameters
    ----------
    observations : Dataset
        ``y`` (system, observation), NaN where an observation is missing.
    layout : Arrangement
    sample : ndarray of shape (m, d_y)
        Observations of the fitted model, noise included.
    """
    data = observations["y"]
    y, model = data.values, sample
    label = axis_label(data.attrs["long_name"], data.attrs["units"])
    if not layout.shared_scale:
        # Quantities of different sizes are each shown in their own deviations.
        mean, spread = np.nanmean(y, axis=0), spread_of(y)
        y, model = (y - mean) / spread, (model - mean) / spread
        label = "less its mean, in standard deviations of the data"
    panels = [layout.panels[i] for i in evenly(len(layout.panels), _PANELS)]
    band, difference = (
        new_chart(layout.x_label, label, 400),
        new_chart(layout.x_label, "difference [standard deviations]", 400),
    )
    largest = 0.0
    for i, panel in enumerate(panels):
        largest = max(largest, _band_of(band, panel, y, model, i))
        _difference_of(difference, panel, y, model, i)
    if layout.names:
        ticks = layout.ticks(24)
        if ticks is not None:
            for figure in (band, difference):
                figure.update_xaxes(tickvals=list(ticks[0]), ticktext=ticks[1])
    titles = tuple(panel.title or f"curve {i + 1}" for i, panel in enumerate(panels))
    control: dict[str, Any] = {}
    if len(panels) > 1:
        control = {"control": "select", "control_label": "Where", "choices": titles}
    return [
        Chart(
            "observations",
            "Observations and the fitted model",
            "Bands are the fitted model's observations, noise included. Marks are the quantiles of "
            "the data. If the fit is good, the marks lie on the edges of the bands.",
            f"Quantiles (5, 25, 50, 75, 95 %) of {len(y)} observed systems over the bands of the "
            f"fitted model; the medians differ by at most {rounded(largest, 2)} standard "
            "deviations of the data.",
            band,
            **control,
        ),
        Chart(
            "differences",
            "Difference of the quantiles",
            "Data minus model, in standard deviations of the data. Differences within the grey "
            "range are sampling error. Differences that persist over neighbours indicate an error "
            "of law, noise or surrogate.",
            "Quantiles of the data less those of the model, in standard deviations of the data; "
            f"the largest of the medians is {rounded(largest, 2)}.",
            difference,
            **control,
        ),
    ]


def _quantiles(values: np.ndarray, panel: Panel) -> np.ndarray:
    return np.nanquantile(values[:, panel.rows], QUANTILES, axis=0)


def _band_of(figure: go.Figure, panel: Panel, y: np.ndarray, model: np.ndarray, meta: int) -> float:
    """Draw one curve; return the difference of its medians, in deviations of the data."""
    modelled, observed = _quantiles(model, panel), _quantiles(y, panel)
    for low, high, alpha, label in ((0, 4, 0.16, "5 to 95 %"), (1, 3, 0.3, "25 to 75 %")):
        figure.add_scatter(
            x=panel.x,
            y=modelled[low],
            mode="lines",
            line={"width": 0, "color": MODEL},
            showlegend=False,
            hoverinfo="skip",
            meta=meta,
        )
        figure.add_scatter(
            x=panel.x,
            y=modelled[high],
            mode="lines",
            line={"width": 0, "color": MODEL},
            fill="tonexty",
            fillcolor=faint(MODEL, alpha),
            name=f"model, {label}",
            hoverinfo="skip",
            meta=meta,
        )
    figure.add_scatter(
        x=panel.x, y=modelled[2], name="model, median", line={"color": MODEL}, meta=meta
    )
    for i, symbol in enumerate(
        ("line-ew-open", "circle-open", "circle", "circle-open", "line-ew-open")
    ):
        figure.add_scatter(
            x=panel.x,
            y=observed[i],
            mode="markers",
            name="data, the same quantiles",
            legendgroup="data",
            showlegend=i == 2,
            meta=meta,
            marker={"color": DATA, "size": 5 if i == 2 else 6, "symbol": symbol},
            hovertemplate=f"%{{x:.4g}}: %{{y:.4g}}<extra>data, {100 * QUANTILES[i]:g} %</extra>",
        )
    return float(np.max(np.abs(observed[2] - modelled[2]) / spread_of(y[:, panel.rows])))


def _difference_of(
    figure: go.Figure, panel: Panel, y: np.ndarray, model: np.ndarray, meta: int
) -> None:
    own = y[:, panel.rows]
    difference = (_quantiles(y, panel) - _quantiles(model, panel)) / spread_of(own)
    half = 1.96 * _MEDIAN_ERROR / np.sqrt((~np.isnan(own)).sum(axis=0))
    figure.add_scatter(
        x=panel.x,
        y=-half,
        mode="lines",
        line={"width": 0, "color": LIGHT},
        showlegend=False,
        hoverinfo="skip",
        meta=meta,
    )
    figure.add_scatter(
        x=panel.x,
        y=half,
        mode="lines",
        line={"width": 0, "color": LIGHT},
        fill="tonexty",
        fillcolor=faint(LIGHT, 0.25),
        name="sampling range of the median",
        hoverinfo="skip",
        meta=meta,
    )
    for i, dash in ((0, "dot"), (2, "solid"), (4, "dash")):
        figure.add_scatter(
            x=panel.x,
            y=difference[i],
            name=f"{100 * QUANTILES[i]:g} %",
            meta=meta,
            line={"color": DATA, "dash": dash, "width": 1.3},
        )


def descent_charts(population: xr.Dataset, truth: xr.Dataset | None) -> list[Chart]:
    """Return the loss along the descent, and the path of one parameter at a time."""
    loss = population["loss"].values
    steps = evenly(len(loss), _STEPS)
    figure = new_chart("iteration", "loss")
    figure.add_scatter(
        x=steps + 1,
        y=loss[steps],
        name="weighted by the noise",
        line={"color": LIGHT, "width": 1.2},
    )
    fixed = population["fixed_loss"].values
    seen = np.flatnonzero(~np.isnan(fixed))
    if len(seen):
        figure.add_scatter(
            x=seen + 1, y=fixed[seen], name="in a fixed metric", line={"color": MODEL}
        )
    last = loss[-max(2, len(loss) // 10) :]
    charts = [
        Chart(
            "loss",
            "Loss of the descent",
            "The loss weighted by the noise need not fall, since its weights change as the noise "
            "is learned. Values of the loss in a fixed metric can be compared along the way.",
            f"Loss over {len(loss)} iterations; at the end the weighted one is about "
            f"{rounded(float(np.mean(last)), 2)}.",
            figure,
        )
    ]
    names: list[str] = []
    paths = new_chart("iteration", "value")
    for kind in ("law", "noise"):
        dim = f"{kind}_parameter"
        same = truth is not None and np.array_equal(truth[dim], population[dim])
        for i in evenly(population.sizes[dim], _PATHS):
            meta = len(names)
            names.append(f"{kind}: {readable(str(population[dim].values[i]))}")
            path = population[f"{kind}_path"].values[:, i]
            kept = evenly(len(path), _STEPS)
            paths.add_scatter(
                x=kept + 1, y=path[kept], name="path", line={"color": MODEL}, meta=meta
            )
            paths.add_scatter(
                x=[len(path)],
                y=[population[kind].values[i]],
                mode="markers",
                name="answer",
                marker={"color": MODEL, "size": 10},
                meta=meta,
            )
            if same and truth is not None:
                true = float(truth[kind].values[i])
                paths.add_scatter(
                    x=[1, len(path)],
                    y=[true, true],
                    mode="lines",
                    name="truth",
                    line={"color": TRUTH, "dash": "dash"},
                    meta=meta,
                )
    charts.append(
        Chart(
            "paths",
            "Paths of the parameters",
            "They should be level at the end. The answer is the mean of the last iterations.",
            f"Paths of {len(names)} parameters along the descent, one at a time.",
            paths,
            control="select",
            control_label="Parameter",
            choices=tuple(names),
        )
    )
    return charts
