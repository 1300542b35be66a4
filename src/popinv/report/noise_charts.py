"""Charts of the recovered noise: its covariance as a heat map, and a suitable curve."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go

from popinv.figures.arrangement import NUMBER, Arrangement, evenly
from popinv.figures.noise_growth import NoiseGrowth
from popinv.figures.noise_statistics import (
    Curve,
    NoiseComparison,
    against_distance,
    autocorrelation,
    deviations,
)
from popinv.figures.style import axis_label, squared
from popinv.report.look import (
    DATA,
    DIVERGING,
    LIGHT,
    MODEL,
    TRUTH,
    Chart,
    add_band,
    faint,
    new_chart,
)
from popinv.report.words import rounded

# Observations in a heat map, pairs of them along a curve.
_MATRIX = 120
_PAIRS = 600


def noise_charts(
    noise: NoiseComparison, layout: Arrangement, distance: np.ndarray | None, units: str
) -> list[Chart]:
    """Return the covariance as a heat map, and as a suitable curve."""
    charts = [_heat_map(noise, layout, squared(units))]
    if layout.over_time:
        charts.append(_autocorrelation(noise, layout))
    if distance is not None and not layout.over_time:
        charts.append(_against_distance(noise, distance, squared(units)))
    else:
        charts.append(_deviations(noise, layout, units))
    if noise.growth is not None:
        charts.append(_growth(noise.growth, units))
    return charts


def _heat_map(noise: NoiseComparison, layout: Arrangement, units: str) -> Chart:
    kept = evenly(len(noise.estimate), _MATRIX)
    every = np.ix_(kept, kept)
    matrices = {
        "recovered": noise.estimate[every],
        noise.reference_name: noise.reference[every],
        "difference": (noise.estimate - noise.reference)[every],
    }
    largest = float(np.nanmax(np.abs(list(matrices.values()))))
    figure = new_chart(NUMBER, NUMBER, height=460)
    # Below the map, the colour scale does not narrow it on a small page.
    figure.update_layout(margin={"b": 120})
    label = axis_label("covariance", units)
    for i, matrix in enumerate(matrices.values()):
        figure.add_heatmap(
            x=kept + 1,
            y=kept + 1,
            z=matrix.astype(np.float32),
            zmin=-largest,
            zmax=largest,
            colorscale=DIVERGING,
            meta=i,
            hovertemplate="%{x}, %{y}: %{z:.4g}<extra></extra>",
            colorbar={
                "title": {"text": label, "side": "bottom", "font": {"size": 13}},
                "orientation": "h",
                "thickness": 12,
                "outlinewidth": 0,
                "nticks": 5,
                "y": 0,
                "yref": "container",
                "yanchor": "bottom",
            },
        )
    figure.update_yaxes(autorange="reversed")
    figure.update_xaxes(constrain="domain")
    figure.update_yaxes(scaleanchor="x", constrain="domain")
    ticks = layout.ticks(8)
    if ticks is not None:
        for update in (figure.update_xaxes, figure.update_yaxes):
            update(tickvals=list(ticks[0]), ticktext=ticks[1], title_text="")
    error = np.linalg.norm(np.nan_to_num(matrices["difference"])) / np.linalg.norm(
        np.nan_to_num(matrices[noise.reference_name])
    )
    cut = "" if len(kept) == len(noise.estimate) else f" Every {len(noise.estimate) // len(kept)}th"
    cut += " observation is shown." if cut else ""
    return Chart(
        "noise-covariance",
        "Noise covariance",
        f"Recovered, {noise.reference_name}, and their difference, on one scale. "
        + (
            ""
            if noise.true is not None
            else "The empirical one is the data's covariance less "
            "that of the fitted model without noise; it scatters."
        )
        + cut,
        f"Heat maps of the noise covariance, recovered and {noise.reference_name}; their "
        f"difference is {rounded(float(error), 2)} in relative Frobenius norm.",
        figure,
        control="select",
        control_label="Show",
        choices=tuple(name.capitalize() for name in matrices),
    )


_RANGE = "The grey range holds the empirical one in 95 of 100 data sets of the fitted model."


def _curve(figure: go.Figure, curve: Curve) -> None:
    """Draw the recovered statistic with its interval, the truth, and the empirical with its range.

    Only some of many pairs are drawn.
    """
    kept = evenly(len(curve.x), _PAIRS)
    x, recovered = curve.x[kept], curve.recovered[kept]
    if curve.low is not None and curve.high is not None:
        label = "95 % range of the empirical"
        add_band(figure, curve.places, curve.low, curve.high, label, LIGHT)
    if curve.half is not None:
        half = curve.half[kept]
        add_band(figure, x, recovered - half, recovered + half, "95 % interval")
    figure.add_scatter(x=x, y=recovered, name="recovered", mode="lines", line={"color": MODEL})
    if curve.true is not None:
        line = {"color": TRUTH, "dash": "dash"}
        figure.add_scatter(x=x, y=curve.true[kept], name="true", mode="lines", line=line)
    figure.add_scatter(
        x=curve.places,
        y=curve.empirical,
        mode="markers",
        name="empirical",
        marker={"color": DATA, "size": 5, "symbol": "square"},
    )


def _against_distance(noise: NoiseComparison, distance: np.ndarray, units: str) -> Chart:
    figure = new_chart("distance between sensors", axis_label("covariance", units), height=420)
    _curve(figure, against_distance(noise, distance))
    return Chart(
        "noise-distance",
        "Covariance against distance",
        f"The covariance of the noise at each pair of sensors. {_RANGE}",
        f"Covariance of the noise against the distance between sensors; at one sensor the "
        f"recovered variance is {rounded(float(noise.estimate[0, 0]), 3)}.",
        figure,
    )


def _autocorrelation(noise: NoiseComparison, layout: Arrangement) -> Chart:
    curve = autocorrelation(noise, layout)
    figure = new_chart(layout.x_label.replace("t, time", "lag in time"), "correlation", height=420)
    _curve(figure, curve)
    where = f" at {curve.title}" if curve.title else ""
    return Chart(
        "noise-autocorrelation",
        "Autocorrelation of the noise",
        f"The correlation in time{where}. {_RANGE}",
        f"Autocorrelation of the noise{where}: {rounded(float(curve.recovered[1]), 3)} at "
        "the first lag."
        if len(curve.x) > 1
        else f"Autocorrelation of the noise{where}.",
        figure,
    )


def _growth(growth: NoiseGrowth, units: str) -> Chart:
    figure = new_chart(
        axis_label("noise-free observation", units),
        axis_label("standard deviation", units),
        height=420,
    )
    if growth.half is not None:
        low, high = growth.recovered - growth.half, growth.recovered + growth.half
        add_band(figure, growth.signal, low, high, "95 % interval")
    figure.add_scatter(x=growth.signal, y=growth.recovered, name="recovered", line={"color": MODEL})
    if growth.true is not None:
        line = {"color": TRUTH, "dash": "dash"}
        figure.add_scatter(x=growth.signal, y=growth.true, name="true", line=line)
    figure.update_yaxes(rangemode="tozero")
    return Chart(
        "noise-growth",
        "Noise against the signal",
        "The standard deviation of the noise, the root mean square over the observations, against "
        "the noise-free observation.",
        f"Standard deviation of the noise against the signal, from "
        f"{rounded(float(growth.recovered.min()), 3)} to "
        f"{rounded(float(growth.recovered.max()), 3)}.",
        figure,
    )


def _deviations(noise: NoiseComparison, layout: Arrangement, units: str) -> Chart:
    curve = deviations(noise)
    number, estimate = curve.x, curve.recovered
    figure = new_chart(NUMBER, axis_label("standard deviation", units), height=420)
    if curve.low is not None and curve.high is not None:
        figure.add_bar(
            x=curve.places,
            y=curve.high - curve.low,
            base=curve.low,
            width=0.7,
            name="95 % range of the empirical",
            marker={"color": faint(LIGHT, 0.25)},
            hoverinfo="skip",
        )
    bars = None
    if curve.half is not None:
        bars = {"type": "data", "array": curve.half, "thickness": 1.2, "width": 0}
    figure.add_scatter(
        x=number,
        y=estimate,
        mode="markers",
        name="recovered",
        error_y=bars,
        marker={"color": MODEL, "size": 7},
    )
    for x, values, name, colour, symbol in (
        (curve.places, curve.empirical, "empirical", DATA, "square-open"),
        (number, curve.true, "true", TRUTH, "line-ew-open"),
    ):
        if values is not None:
            mark = {"color": colour, "size": 8, "symbol": symbol, "line": {"width": 2}}
            figure.add_scatter(x=x, y=values, mode="markers", name=name, marker=mark)
    figure.update_yaxes(rangemode="tozero")
    ticks = layout.ticks(8)
    if ticks is not None:
        figure.update_xaxes(tickvals=list(ticks[0]), ticktext=ticks[1], title_text="")
    intervals = ", with 95 % intervals" if bars is not None else ""
    return Chart(
        "noise-deviations",
        "Standard deviation of the noise",
        f"The standard deviation of each observation{intervals}. {_RANGE}",
        f"Standard deviations of the noise, from {rounded(float(estimate.min()), 3)} to "
        f"{rounded(float(estimate.max()), 3)}.",
        figure,
    )
