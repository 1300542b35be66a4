"""Chart of the estimates of all estimators."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from popinv.charts.plotly_writer import DATA, LIGHT, MODEL, ORACLE, Chart, faint, new_chart
from popinv.report.words import readable, rounded

# Number of parameters with a row.
_ROWS = 12
_COLOURS = {"distance": DATA, "pseudo_likelihood": ORACLE, "likelihood": MODEL}
# Standard errors that are shown at most; the table of the chart's numbers has all.
_FURTHEST = 15.0
# Half width of a 95 % interval, in standard errors.
_WIDE = 1.96


def estimator_chart(population: xr.Dataset, left_out: np.ndarray | None = None) -> Chart | None:
    """Return the estimates of all estimators, each with its own 95 % interval.

    Differences are in standard errors of the answer, since parameters share no unit. A hollow mark
    is the answer before the correction for the surrogate's error.

    Parameters
    ----------
    population : Dataset
        ``estimates``, ``estimate_errors``, ``covariance``, ``bound`` and ``surrogate_shift``;
        ``estimator`` and ``through`` among its attributes.
    left_out : ndarray of bool, optional
        Parameters that are not shown, since they have no meaning of their own.

    Returns
    -------
    Chart or None
        None if only one estimator has an answer.
    """
    errors = np.sqrt(np.diag(population["covariance"].values))
    shown = errors > 0 if left_out is None else (errors > 0) & ~left_out
    rows = np.flatnonzero(shown)[:_ROWS]
    told = [str(n) for n in population["estimator"].values]
    answers = {
        name: population["estimates"].values[i][rows]
        for i, name in enumerate(told)
        if np.isfinite(population["estimates"].values[i][rows]).any()
    }
    if len(answers) < 2 or not len(rows):
        return None
    chosen, scale = str(population.attrs["estimator"]), errors[rows]
    names = [readable(str(population["estimated"].values[i])) for i in rows]
    figure = new_chart("standard errors from the answer", "", height=130 + 56 * len(rows))
    places = np.arange(len(rows))
    bound = _WIDE * population["bound"].values[rows] / scale
    figure.add_bar(
        y=places,
        x=2 * bound,
        base=-bound,
        orientation="h",
        name="the bound of the likelihood",
        marker={"color": faint(LIGHT, 0.3)},
        width=0.8,
        hoverinfo="skip",
    )
    words = []
    for i, (name, values) in enumerate(answers.items()):
        away = (values - answers[chosen]) / scale
        own = population["estimate_errors"].values[told.index(name)][rows]
        label = readable(name) + (" (the answer)" if name == chosen else "")
        figure.add_scatter(
            y=places + 0.22 * (i - (len(answers) - 1) / 2),
            x=away,
            mode="markers",
            name=label,
            marker={"color": _COLOURS[name], "size": 9},
            error_x={"array": _WIDE * own / scale, "color": _COLOURS[name], "thickness": 1.6},
            text=[f"{rounded(v, 4)} ± {rounded(e, 2)}" for v, e in zip(values, own, strict=True)],
            hovertemplate="%{text}<extra>" + label + "</extra>",
        )
        if name != chosen:
            words.append(f"{readable(name)} by at most {rounded(np.nanmax(np.abs(away)), 2)}")
    shift = population["surrogate_shift"].values[rows] / scale
    pushed = f"by at most {rounded(np.max(np.abs(shift)), 2)}"
    label = "the surrogate, not corrected"
    if "correction" in population and not population["correction"].values.any():
        label = "the surrogate's error, one standard deviation"
        about = f"The surrogate's error may move the answer {pushed}, which its intervals include."
    elif population.attrs["through"] == "surrogate":
        about = f"Without the surrogate's correction the answer would differ {pushed}."
    else:
        about = f"Through the surrogate alone the answer would differ {pushed}."
    figure.add_scatter(
        y=places,
        x=shift,
        mode="markers",
        name=label,
        marker={"color": MODEL, "size": 11, "symbol": "diamond-open", "line": {"width": 2}},
        hovertemplate="%{x:.3g}<extra>" + label + "</extra>",
    )
    figure.update_yaxes(
        autorange="reversed", showgrid=False, ticks="", tickvals=places, ticktext=names
    )
    # An estimate without information has an interval beside which the others are points.
    if _furthest(figure) > _FURTHEST:
        figure.update_xaxes(range=[-_FURTHEST, _FURTHEST])
    return Chart(
        "estimators",
        "Estimates of all estimators",
        f"Bars are 95 % intervals of each estimator. {about}",
        f"Estimates beside the answer, that of the {readable(chosen)}, in its standard errors: "
        f"{'; '.join(words)}. {about}",
        figure,
        wide=True,
    )


def _furthest(figure: go.Figure) -> float:
    """Return the largest distance of a mark or an end of its interval from the answer."""
    ends = [0.0]
    for trace in figure.data:
        if trace.type == "scatter":
            half = 0.0 if trace.error_x.array is None else np.asarray(trace.error_x.array)
            ends.append(float(np.nanmax(np.abs(trace.x) + half)))
    return max(ends)
