"""Charts for judging the answer: the model beside the data, the tests, the evidence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from popinv.figures.arrangement import Arrangement, Panel, evenly
from popinv.figures.observations import QUANTILES, spread_of
from popinv.figures.style import axis_label
from popinv.judgement.judgements import COVERAGE_WANTED
from popinv.report.look import (
    DATA,
    LIGHT,
    MODEL,
    ORACLE,
    TRUTH,
    Chart,
    faint,
    new_chart,
)
from popinv.report.words import readable, rounded

__all__ = ["descent_charts", "evidence_charts", "observation_charts", "test_chart"]

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


def evidence_charts(
    loaded: Mapping[str, xr.Dataset], metrics: Mapping[str, Mapping[str, Any]]
) -> list[Chart]:
    """Return a chart of each requested kind of evidence.

    Parameters
    ----------
    loaded : mapping of str to Dataset
        ``error_against_systems``, ``designs`` and ``calibration``, if they were requested.
    metrics : mapping
        Their numbers, by the same names.
    """
    charts = []
    if "calibration" in loaded:
        charts.append(_coverage(loaded["calibration"], metrics["calibration"]))
    if "error_against_systems" in loaded:
        charts.append(_errors(loaded["error_against_systems"], metrics["error_against_systems"]))
    if "designs" in loaded:
        charts.append(_designs(loaded["designs"], metrics["designs"]))
    return charts


def _coverage(calibrated: xr.Dataset, metrics: Mapping[str, Any]) -> Chart:
    names: list[str] = []
    ends: list[np.ndarray] = []
    for part in ("law", "noise"):
        if f"{part}_coverage" in calibrated:
            names += [f"{part}: {readable(str(n))}" for n in calibrated[f"{part}_parameter"].values]
            columns = [
                calibrated[f"{part}_coverage{end}"].values for end in ("", "_lower", "_upper")
            ]
            ends.append(100 * np.column_stack(columns))
    share, low, high = np.concatenate(ends).T
    figure = new_chart("intervals that hold the truth [%]", "", min(900, 120 + 34 * len(names)))
    figure.add_vrect(
        *(100 * end for end in COVERAGE_WANTED), fillcolor=faint(LIGHT, 0.25), line_width=0
    )
    figure.add_vline(95, line={"color": TRUTH, "dash": "dash", "width": 1.5})
    figure.add_scatter(
        x=share,
        y=names,
        mode="markers",
        name="share, with its 95 % interval",
        marker={"color": MODEL, "size": 9},
        error_x={"type": "data", "array": high - share, "arrayminus": share - low, "width": 0},
    )
    figure.update_yaxes(autorange="reversed", ticks="")
    count = metrics["calibration_replications"]
    return Chart(
        "coverage",
        "Coverage of the intervals",
        f"From {count} data sets drawn from the truth. The grey band is the required coverage.",
        f"Shares of the 95 % intervals that hold the truth on {count} data sets, in the mean "
        f"{100 * metrics['coverage_mean']:.0f} %.",
        figure,
        wide=True,
    )


def _errors(errors: xr.Dataset, metrics: Mapping[str, Any]) -> Chart:
    figure = new_chart("systems", "relative error", 400)
    figure.update_xaxes(type="log")
    figure.update_yaxes(type="log")
    words = []
    for meta, (name, title) in enumerate(
        (("law_error", "law"), ("noise_error", "noise covariance"))
    ):
        slope, deviation = metrics[f"{name}_slope"], metrics[f"{name}_slope_standard_error"]
        numbers = errors["size_systems"].values
        figure.add_scatter(
            x=errors["systems"].values,
            y=errors[name].values,
            mode="markers",
            meta=meta,
            name="one data set",
            marker={"color": LIGHT, "size": 6},
        )
        figure.add_scatter(
            x=numbers,
            y=errors[f"{name}_rms"].values,
            mode="markers",
            meta=meta,
            name="root mean square",
            marker={"color": MODEL, "size": 10, "symbol": "diamond"},
        )
        line = np.array([numbers[0], numbers[-1]], dtype=float)
        figure.add_scatter(
            x=line,
            y=np.exp(metrics[f"{name}_intercept"]) * line**slope,
            mode="lines",
            meta=meta,
            name=f"fit, slope {rounded(slope, 2)} ± {rounded(deviation, 1)}",
            line={"color": MODEL},
        )
        words.append(f"{title} {rounded(slope, 2)} ± {rounded(deviation, 1)}")
    return Chart(
        "errors",
        "Error against the number of systems",
        "Sampling errors fall with slope −1/2. Errors that level off at many systems are the "
        "surrogate's or the descent's own.",
        f"Errors fall with the number of systems; slopes: {', '.join(words)}.",
        figure,
        control="select",
        control_label="Error of the",
        choices=("Law", "Noise covariance"),
    )


def _designs(curves: xr.Dataset, metrics: Mapping[str, Any]) -> Chart:
    figure = new_chart("solver calls", "error, in noise deviations", 400)
    figure.update_xaxes(type="log")
    figure.update_yaxes(type="log")
    for name, colour, symbol, label in (
        ("active", MODEL, "circle", "active learning"),
        ("fixed", ORACLE, "square", "one broad design"),
    ):
        figure.add_scatter(
            x=curves[f"{name}_calls"].values,
            y=curves[f"{name}_error"].values,
            name=label,
            mode="lines+markers",
            line={"color": colour},
            marker={"symbol": symbol, "size": 8},
        )
    return Chart(
        "designs",
        "Active learning against a fixed design",
        f"To the final error of {rounded(metrics['design_error'], 2)}: "
        f"{metrics['design_calls_active']} calls with active learning, against "
        f"{metrics['design_calls_fixed']}.",
        "Error of the surrogate against solver calls, for active learning and one broad design: "
        f"{metrics['design_calls_active']} calls against {metrics['design_calls_fixed']}.",
        figure,
    )
