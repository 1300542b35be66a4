"""Charts of the recovered law: its parameters with their intervals, densities, fields."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from popinv.figures.law import FieldDraws, MarginalDraws
from popinv.figures.marginals import Marginal, density_of
from popinv.figures.style import axis_label
from popinv.judgement.answer import RecoveredParameter
from popinv.report.look import MODEL, ORACLE, TRUTH, Chart, add_band, axis, faint, new_chart
from popinv.report.pair_charts import pair_charts
from popinv.report.words import readable, rounded

# Number of parameters that get a strip each, and of fields that can be selected.
_STRIPS = 12
_FIELDS = 12


def parameter_chart(
    parameters: Sequence[RecoveredParameter], oracle: xr.Dataset | None = None
) -> Chart | None:
    """Return a strip for each parameter with interval, recovered value and truth, or None.

    Parameters
    ----------
    parameters : sequence of RecoveredParameter
        The first twelve are drawn; a table has all.
    oracle : Dataset, optional
        ``law``, estimated with the noise known.
    """
    shown = list(parameters)[:_STRIPS]
    if oracle is None and all(p.lower is None and p.true is None for p in shown):
        # Dots alone, each on its own scale, carry less information than the table.
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
        # Each parameter has its own strip, since parameters of different sizes share no axis.
        top = 1 - row / count
        at = {"xaxis": f"x{number}", "yaxis": f"y{number}"}
        places = {"anchor": f"y{number}", "nticks": 6, "range": _room(p, oracle_value)}
        figure.update_layout({f"xaxis{number}": axis("", **places)})
        strip = [top - 0.66 / count, top - 0.3 / count]
        figure.update_layout(
            {
                f"yaxis{number}": axis(
                    domain=strip,
                    range=[-1, 1],
                    visible=False,
                    fixedrange=True,
                    anchor=f"x{number}",
                )
            }
        )
        figure.add_annotation(
            text=axis_label(f"{p.kind}: {readable(p.name)}", p.units),
            x=0,
            y=top - 0.3 / count,
            xref="paper",
            yref="paper",
            xanchor="left",
            yanchor="bottom",
            showarrow=False,
        )
        _strip(figure, p, oracle_value, at, seen)
    words = "; ".join(f"{p.kind} {readable(p.name)} {_in_words(p)}" for p in shown)
    more = f" The first {count} of {len(parameters)}." if count < len(parameters) else ""
    return Chart(
        "parameters",
        "The same drawn",
        f"Each parameter has its own scale. Noise known: an estimate with the noise known.{more}"
        if known
        else f"Each parameter has its own scale.{more}",
        f"Recovered parameters with intervals: {words}.",
        figure,
        wide=True,
    )


def _room(p: RecoveredParameter, oracle: float | None) -> list[float]:
    """Return the ends of an axis that includes all values of a parameter."""
    known = [v for v in (p.value, p.lower, p.upper, p.true, oracle) if v is not None]
    pad = 0.08 * (max(known) - min(known)) or 0.1 * abs(p.value) or 1.0
    return [min(known) - pad, max(known) + pad]


def _in_words(p: RecoveredParameter) -> str:
    text = rounded(p.value, 3)
    if p.lower is not None and p.upper is not None:
        text += f", 95 % interval {rounded(p.lower, 3)} to {rounded(p.upper, 3)}"
    return text if p.true is None else f"{text}, truth {rounded(p.true, 3)}"


def _strip(
    figure: go.Figure,
    p: RecoveredParameter,
    oracle: float | None,
    at: dict[str, str],
    seen: set[str],
) -> None:
    def add(label: str, x: list[float], **settings: object) -> None:
        figure.add_scatter(
            x=x,
            y=[0.0] * len(x),
            name=label,
            legendgroup=label,
            showlegend=label not in seen,
            hovertemplate="%{x:.5g}<extra>" + label + "</extra>",
            meta={"x": f"{p.kind}: {readable(p.name)}"},
            **settings,
            **at,
        )
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
    """Return densities of the recovered law's parameters, or the range and samples of a field."""
    if isinstance(draws, MarginalDraws):
        densities = [_density(m, readable(m.name).capitalize()) for m in draws.marginals]
        return densities if draws.pairs is None else [*densities, *pair_charts(draws.pairs)]
    charts = [_density(draws.middle, f"{draws.quantity.capitalize()} at the mid-point")]
    charts += [_density(m, readable(m.name).capitalize()) for m in draws.beside]
    return [*charts, _field_range(draws), _fields(draws)]


def _density(marginal: Marginal, title: str) -> Chart:
    density = density_of(marginal)
    label = axis_label(readable(marginal.name), marginal.units)
    figure = new_chart(label, "density of the logarithm" if density.wide else "density")
    filled = {"fill": "tozeroy", "fillcolor": faint(MODEL, 0.18)} if density.band is None else {}
    if density.band is not None:
        add_band(figure, density.x, *density.band, "95 % interval, point by point")
    figure.add_scatter(
        x=density.x, y=density.recovered, name="recovered", line={"color": MODEL}, **filled
    )
    if density.true is not None:
        figure.add_scatter(
            x=density.x, y=density.true, name="truth", line={"color": TRUTH, "dash": "dash"}
        )
    if density.wide:
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
        f"Distribution over the population: {words}.",
        f"Density of the {readable(marginal.name)} over the population. Recovered: {words}.",
        figure,
    )


def _field_range(draws: FieldDraws) -> Chart:
    where = "x" if draws.squares is None else "x, at y = 0.5"
    figure = new_chart(where, draws.quantity)
    low, mean, high = _range(draws.recovered)
    add_band(figure, draws.points, low, high, "recovered, 5 to 95 %")
    figure.add_scatter(x=draws.points, y=mean, name="recovered, mean", line={"color": MODEL})
    if draws.true is not None:
        for i, curve in enumerate(_range(draws.true)):
            figure.add_scatter(
                x=draws.points,
                y=curve,
                name="truth",
                legendgroup="truth",
                showlegend=i == 0,
                line={"color": TRUTH, "dash": "dash", "width": 1.6},
            )
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
            x=draws.points,
            y=draws.recovered[i],
            name="recovered law",
            line={"color": MODEL},
            meta=i,
        )
        if draws.true is not None:
            figure.add_scatter(
                x=draws.points,
                y=draws.true[i],
                name="true law",
                line={"color": TRUTH, "dash": "dash"},
                meta=i,
            )
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
