"""Charts of the answer: parameters with their intervals, densities, and the noise."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from popinv.figures.arrangement import NUMBER, Arrangement, evenly
from popinv.figures.law import FieldDraws, MarginalDraws
from popinv.figures.marginals import Marginal, density_of
from popinv.figures.noise_curves import NoiseComparison, autocorrelation
from popinv.figures.style import axis_label, squared
from popinv.report.look import (
    DATA,
    DIVERGING,
    LIGHT,
    MODEL,
    ORACLE,
    TRUTH,
    Chart,
    axis,
    faint,
    new_chart,
)
from popinv.report.words import readable, rounded
from popinv.summary import Parameter

__all__ = ["law_charts", "noise_charts", "parameter_chart"]

# Parameters that have a strip each, fields that can be looked at, observations in a heat map.
_STRIPS = 12
_FIELDS = 12
_MATRIX = 160
_PAIRS = 600


def parameter_chart(
    parameters: Sequence[Parameter], oracle: xr.Dataset | None = None
) -> Chart | None:
    """Return a strip for each parameter: interval, recovered value, truth.

    Parameters
    ----------
    parameters : sequence of Parameter
        The first twelve are drawn; a table has them all.
    oracle : Dataset, optional
        ``law``, estimated with the noise known.
    """
    shown = list(parameters)[:_STRIPS]
    if not shown:
        return None
    known = {}
    if oracle is not None:
        values = zip(oracle["law_parameter"].values, oracle["law"].values, strict=True)
        known = {str(name): float(value) for name, value in values}
    count = len(shown)
    figure = new_chart("", "", height=70 + 78 * count)
    seen: set[str] = set()
    for row, p in enumerate(shown):
        oracle_value = known.get(p.name) if p.kind == "law" else None
        number = "" if row == 0 else str(row + 1)
        # Each in a strip of its own, since parameters of different sizes share no axis.
        top = 1 - row / count
        at = {"xaxis": f"x{number}", "yaxis": f"y{number}"}
        places = {"anchor": f"y{number}", "nticks": 6, "range": _room(p, oracle_value)}
        figure.update_layout({f"xaxis{number}": axis("", **places)})
        strip = [top - 0.66 / count, top - 0.3 / count]
        figure.update_layout(
            {
                f"yaxis{number}": axis(
                    domain=strip, range=[-1, 1], visible=False, fixedrange=True,
                    anchor=f"x{number}",
                )
            }
        )  # fmt: skip
        figure.add_annotation(
            text=f"{p.kind}: {readable(p.name)}", x=0, y=top - 0.3 / count, xref="paper",
            yref="paper", xanchor="left", yanchor="bottom", showarrow=False,
        )  # fmt: skip
        _strip(figure, p, oracle_value, at, seen)
    words = "; ".join(f"{p.kind} {readable(p.name)} {_in_words(p)}" for p in shown)
    more = f" The first {count} of {len(parameters)}." if count < len(parameters) else ""
    return Chart(
        "parameters",
        "Recovered parameters",
        "Dots are what was recovered, bars the 95 % intervals from resampled systems, upright "
        f"dashes the truth where it is known. Each parameter has a scale of its own.{more}",
        f"Recovered parameters with intervals: {words}.",
        figure,
        wide=True,
    )


def _room(p: Parameter, oracle: float | None) -> list[float]:
    """Return the ends of an axis on which all that is known of a parameter has room."""
    known = [v for v in (p.value, p.lower, p.upper, p.true, oracle) if v is not None]
    pad = 0.08 * (max(known) - min(known)) or 0.1 * abs(p.value) or 1.0
    return [min(known) - pad, max(known) + pad]


def _in_words(p: Parameter) -> str:
    text = rounded(p.value, 3)
    if p.lower is not None and p.upper is not None:
        text += f", 95 % interval {rounded(p.lower, 3)} to {rounded(p.upper, 3)}"
    return text if p.true is None else f"{text}, truth {rounded(p.true, 3)}"


def _strip(
    figure: go.Figure, p: Parameter, oracle: float | None, at: dict[str, str], seen: set[str]
) -> None:
    def add(label: str, x: list[float], **settings: object) -> None:
        figure.add_scatter(
            x=x, y=[0.0] * len(x), name=label, legendgroup=label, showlegend=label not in seen,
            hovertemplate="%{x:.5g}<extra>" + label + "</extra>", **settings, **at,
        )  # fmt: skip
        seen.add(label)

    if p.lower is not None and p.upper is not None:
        line = {"color": faint(MODEL, 0.45), "width": 8}
        add("95 % interval", [p.lower, p.upper], mode="lines", line=line)
    add("recovered", [p.value], mode="markers", marker={"color": MODEL, "size": 11})
    if oracle is not None:
        ring = {"color": ORACLE, "size": 11, "symbol": "diamond-open", "line": {"width": 2}}
        add("noise known", [oracle], mode="markers", marker=ring)
    if p.true is not None:
        dash = {"color": TRUTH, "size": 22, "symbol": "line-ns-open", "line": {"width": 2.5}}
        add("truth", [p.true], mode="markers", marker=dash)


def law_charts(draws: FieldDraws | MarginalDraws) -> list[Chart]:
    """Return densities of the recovered law's parameters; and of a field its range and samples."""
    if isinstance(draws, MarginalDraws):
        return [_density(m, readable(m.name).capitalize()) for m in draws.marginals]
    charts = [_density(draws.middle, f"{draws.quantity.capitalize()} at the mid-point")]
    charts += [_density(m, readable(m.name).capitalize()) for m in draws.beside]
    return [*charts, _field_range(draws), _fields(draws)]


def _density(marginal: Marginal, title: str) -> Chart:
    found = density_of(marginal)
    label = axis_label(readable(marginal.name), marginal.units)
    figure = new_chart(label, "density of the logarithm" if found.wide else "density")
    figure.add_scatter(
        x=found.x, y=found.recovered, name="recovered", fill="tozeroy", line={"color": MODEL},
        fillcolor=faint(MODEL, 0.18),
    )  # fmt: skip
    if found.true is not None:
        figure.add_scatter(
            x=found.x, y=found.true, name="truth", line={"color": TRUTH, "dash": "dash"}
        )
    if found.wide:
        figure.update_xaxes(type="log")
    low, middle, high = np.quantile(marginal.recovered, (0.05, 0.5, 0.95))
    words = f"median {rounded(middle, 3)}, 5 to 95 % from {rounded(low, 3)} to {rounded(high, 3)}"
    if marginal.true is not None:
        low, middle, high = np.quantile(marginal.true, (0.05, 0.5, 0.95))
        words += (
            f"; the true one: median {rounded(middle, 3)}, from {rounded(low, 3)} to "
            f"{rounded(high, 3)}"
        )
    return Chart(
        f"density-{marginal.name}",
        title,
        f"How it is distributed over the population: {words}.",
        f"Density of the {readable(marginal.name)} over the population. Recovered: {words}.",
        figure,
    )


def _field_range(draws: FieldDraws) -> Chart:
    where = "x" if draws.squares is None else "x, at y = 0.5"
    figure = new_chart(where, draws.quantity)
    low, mean, high = _range(draws.recovered)
    _add_band(figure, draws.points, low, high, "recovered, 5 to 95 %")
    figure.add_scatter(x=draws.points, y=mean, name="recovered, mean", line={"color": MODEL})
    if draws.true is not None:
        for i, curve in enumerate(_range(draws.true)):
            figure.add_scatter(
                x=draws.points, y=curve, name="truth", legendgroup="truth", showlegend=i == 0,
                line={"color": TRUTH, "dash": "dash", "width": 1.6},
            )  # fmt: skip
    middle = len(mean) // 2
    return Chart(
        "field-range",
        f"Range of the {draws.quantity}",
        "Point by point, over the population"
        + (", beside that of the true law." if draws.true is not None else "."),
        f"Pointwise range of the {draws.quantity} under the recovered law; in the middle of the "
        f"domain from {rounded(low[middle], 3)} to {rounded(high[middle], 3)}, mean "
        f"{rounded(mean[middle], 3)}.",
        figure,
    )


def _range(fields: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    low, high = np.quantile(fields, (0.05, 0.95), axis=0)
    return low, fields.mean(axis=0), high


def _fields(draws: FieldDraws) -> Chart:
    count = min(_FIELDS, len(draws.recovered))
    where = "x" if draws.squares is None else "x, at y = 0.5"
    figure = new_chart(where, draws.quantity)
    both = [draws.recovered[:count]] + ([] if draws.true is None else [draws.true[:count]])
    low, high = min(v.min() for v in both), max(v.max() for v in both)
    pad = 0.05 * (high - low) or 0.5
    figure.update_yaxes(range=[float(low - pad), float(high + pad)])
    for i in range(count):
        figure.add_scatter(
            x=draws.points, y=draws.recovered[i], name="recovered law", line={"color": MODEL},
            meta=i,
        )  # fmt: skip
        if draws.true is not None:
            figure.add_scatter(
                x=draws.points, y=draws.true[i], name="true law",
                line={"color": TRUTH, "dash": "dash"}, meta=i,
            )  # fmt: skip
    beside = "" if draws.true is None else " and, with the same random numbers, from the true one"
    return Chart(
        "fields",
        "Single systems",
        f"The {draws.quantity} of systems drawn from the recovered law{beside}.",
        f"Sample fields of the {draws.quantity}, one system at a time.",
        figure,
        control="slider",
        control_label="System",
        choices=tuple(str(i + 1) for i in range(count)),
    )


def _add_band(
    figure: go.Figure, x: np.ndarray, low: np.ndarray, high: np.ndarray, label: str
) -> None:
    figure.add_scatter(x=x, y=low, mode="lines", line={"width": 0, "color": MODEL},
                       showlegend=False, hoverinfo="skip")  # fmt: skip
    figure.add_scatter(
        x=x, y=high, mode="lines", line={"width": 0, "color": MODEL}, fill="tonexty",
        fillcolor=faint(MODEL, 0.2), name=label, hoverinfo="skip",
    )  # fmt: skip


def noise_charts(
    noise: NoiseComparison, layout: Arrangement, distance: np.ndarray | None, units: str
) -> list[Chart]:
    """Return the covariance as a heat map, and as the curve that suits it."""
    charts = [_heat_map(noise, layout, squared(units))]
    if layout.over_time:
        charts.append(_autocorrelation(noise, layout))
    if distance is not None and not layout.over_time:
        charts.append(_against_distance(noise, distance, squared(units)))
    else:
        charts.append(_deviations(noise, layout, units))
    return charts


def _heat_map(noise: NoiseComparison, layout: Arrangement, units: str) -> Chart:
    kept = evenly(len(noise.estimate), _MATRIX)
    every = np.ix_(kept, kept)
    matrices = {
        "recovered": noise.estimate[every],
        noise.reference_name: noise.reference[every],
        "difference": (noise.estimate - noise.reference)[every],
    }
    largest = float(max(np.nanmax(np.abs(matrix)) for matrix in matrices.values()))
    figure = new_chart(NUMBER, NUMBER, height=420)
    label = axis_label("covariance", units)
    for i, matrix in enumerate(matrices.values()):
        figure.add_heatmap(
            x=kept + 1, y=kept + 1, z=matrix.astype(np.float32), zmin=-largest, zmax=largest,
            colorscale=DIVERGING, meta=i, hovertemplate="%{x}, %{y}: %{z:.4g}<extra></extra>",
            colorbar={"title": {"text": label, "side": "right"}, "thickness": 12,
                      "outlinewidth": 0},
        )  # fmt: skip
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
        + ("" if noise.reference_is_true else "The empirical one is the data's covariance less "
           "that of the fitted model without noise; it scatters.")
        + cut,
        f"Heat maps of the noise covariance, recovered and {noise.reference_name}; their "
        f"difference is {rounded(float(error), 2)} in relative Frobenius norm.",
        figure,
        control="select",
        control_label="Show",
        choices=tuple(name.capitalize() for name in matrices),
    )  # fmt: skip


def _against_distance(noise: NoiseComparison, distance: np.ndarray, units: str) -> Chart:
    upper = np.triu_indices(len(distance), 1)
    order = np.argsort(distance[upper], kind="stable")
    order = order[evenly(len(order), _PAIRS)]
    d = distance[upper][order]

    def pairs(matrix: np.ndarray) -> np.ndarray:
        return matrix[..., upper[0], upper[1]][..., order]

    figure = new_chart("distance between sensors", axis_label("covariance", units), height=420)
    recovered = pairs(noise.estimate)
    if noise.resampled is not None:
        half = noise.half_width(pairs(noise.resampled))
        _add_band(figure, d, recovered - half, recovered + half, "95 % interval")
    figure.add_scatter(x=d, y=recovered, name="recovered", line={"color": MODEL})
    if noise.reference_is_true:
        true = pairs(noise.reference)
        figure.add_scatter(x=d, y=true, name="true", line={"color": TRUTH, "dash": "dash"})
    else:
        figure.add_scatter(
            x=d, y=pairs(noise.reference), mode="markers", name="empirical",
            marker={"color": faint(DATA, 0.4), "size": 4},
        )  # fmt: skip
    return Chart(
        "noise-distance",
        "Covariance against distance",
        "Of the noise at each pair of sensors.",
        f"Covariance of the noise against the distance between sensors; at one sensor the "
        f"recovered variance is {rounded(float(noise.estimate[0, 0]), 3)}.",
        figure,
    )


def _autocorrelation(noise: NoiseComparison, layout: Arrangement) -> Chart:
    found = autocorrelation(noise, layout)
    figure = new_chart(layout.x_label.replace("t, time", "lag in time"), "correlation", height=420)
    if found.every is not None:
        half = noise.half_width(found.every)
        _add_band(
            figure, found.lags, found.recovered - half, found.recovered + half, "95 % interval"
        )
    figure.add_scatter(x=found.lags, y=found.recovered, name="recovered", line={"color": MODEL})
    if noise.reference_is_true:
        line = {"color": TRUTH, "dash": "dash"}
        figure.add_scatter(x=found.lags, y=found.reference, name="true", line=line)
    else:
        figure.add_scatter(
            x=found.lags, y=found.reference, mode="markers", name="empirical",
            marker={"color": DATA, "size": 5},
        )  # fmt: skip
    where = f" at {found.title}" if found.title else ""
    return Chart(
        "noise-autocorrelation",
        "Autocorrelation of the noise",
        f"The correlation in time{where}.",
        f"Autocorrelation of the noise{where}: {rounded(float(found.recovered[1]), 3)} at the "
        "first lag."
        if len(found.lags) > 1
        else f"Autocorrelation of the noise{where}.",
        figure,
    )


def _deviations(noise: NoiseComparison, layout: Arrangement, units: str) -> Chart:
    number = np.arange(1, len(noise.estimate) + 1)
    estimate = np.sqrt(np.diag(noise.estimate))
    figure = new_chart(NUMBER, axis_label("standard deviation", units), height=420)
    bars = None
    if noise.resampled is not None:
        every = np.sqrt(np.diagonal(noise.resampled, axis1=1, axis2=2))
        bars = {"type": "data", "array": noise.half_width(every), "thickness": 1.2, "width": 0}
    figure.add_scatter(
        x=number, y=estimate, mode="markers", name="recovered", error_y=bars,
        marker={"color": MODEL, "size": 7},
    )  # fmt: skip
    reference = np.sqrt(np.maximum(np.diag(noise.reference), 0.0))
    figure.add_scatter(
        x=number, y=reference, mode="markers", name=noise.reference_name,
        marker={"color": TRUTH if noise.reference_is_true else LIGHT, "size": 11,
                "symbol": "line-ew-open", "line": {"width": 2}},
    )  # fmt: skip
    figure.update_yaxes(rangemode="tozero")
    ticks = layout.ticks(8)
    if ticks is not None:
        figure.update_xaxes(tickvals=list(ticks[0]), ticktext=ticks[1], title_text="")
    return Chart(
        "noise-deviations",
        "Standard deviation of the noise",
        "Of each observation"
        + (", with 95 % intervals from resampled systems." if bars is not None else "."),
        f"Standard deviations of the noise, from {rounded(float(estimate.min()), 3)} to "
        f"{rounded(float(estimate.max()), 3)}.",
        figure,
    )
