"""Charts of the cost of the answer: place and number of solver calls, and time by stage."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from popinv.charts.plotly_writer import LIGHT, MODEL, SOLVES, TRUTH, Chart, faint, new_chart
from popinv.charts.style import evenly
from popinv.figures.solver import Plane
from popinv.inference.surrogate_intervals import QUANTILE, HeldOutSolves
from popinv.report.records import Stage
from popinv.report.words import duration, rounded
from popinv.report.words import stage as words_of

_DOTS = 600


def round_names(count: int) -> list[str]:
    """Return the names of the rounds of a record of solves; the last is the check."""
    return [*(f"round {i}" for i in range(count - 1)), "final check"]


def solves_chart(check: xr.Dataset, plane: Plane) -> Chart:
    """Return the solves of each round, with the estimate of the population at that time.

    Parameters
    ----------
    check : Dataset
        The record of all solves. The last round is the final check.
    plane : Plane
        Two quantities of every system.
    """
    count = check.sizes["round_number"]
    of_round, failed = check["round"].values, check["reason"].values != 0
    labels = [label.replace("\n", " ") for label in plane.labels]
    figure = new_chart(labels[0], labels[1], height=440)
    names, choices = round_names(count), []
    everything = np.concatenate([plane.solves, plane.populations[-1]])
    low, high = np.nanquantile(everything, [0.002, 0.998], axis=0)
    pad = np.where(high > low, 0.08 * (high - low), 0.5)
    ranges = np.column_stack([low - pad, high + pad])
    figure.update_xaxes(range=ranges[0].tolist())
    figure.update_yaxes(range=ranges[1].tolist())
    for r in range(count):
        here = of_round == r
        people = plane.populations[min(r, len(plane.populations) - 1)]
        people = people[evenly(len(people), _DOTS)]
        figure.add_scatter(
            x=people[:, 0],
            y=people[:, 1],
            mode="markers",
            meta=r,
            hoverinfo="skip",
            name="population, as estimated at the end of the round",
            marker={"color": faint(LIGHT, 0.55), "size": 5, "symbol": "circle-open"},
        )
        rows = np.flatnonzero(here & ~failed)
        rows = rows[evenly(len(rows), _DOTS)] if len(rows) else rows
        figure.add_scatter(
            x=plane.solves[rows, 0],
            y=plane.solves[rows, 1],
            mode="markers",
            name="solves",
            meta=r,
            marker={"color": faint(SOLVES if r == count - 1 else MODEL, 0.75), "size": 6},
        )
        bad = plane.solves[here & failed]
        if len(bad):
            figure.add_scatter(
                x=bad[:, 0],
                y=bad[:, 1],
                mode="markers",
                name="failed solves",
                meta=r,
                marker={"color": TRUTH, "size": 9, "symbol": "x"},
            )
        choices.append(f"{names[r]}, {int(here.sum())} solves")
    return Chart(
        "solves",
        "Where the solver was called",
        f"Solver calls in two quantities of every system{plane.title}. The first round is spread "
        f"broadly. The later rounds follow the population. At most {_DOTS} dots of a kind are "
        "drawn.",
        f"Where each round solved: {'; '.join(choices)}.",
        figure,
        control="slider",
        control_label="Round",
        choices=tuple(choices),
    )


def error_chart(check: xr.Dataset, threshold: float) -> Chart:
    """Return the surrogate's error on each round's fresh solves."""
    error = check["surrogate_error"].values
    calls = check["solver_calls"].values
    names = round_names(len(error))
    seen = np.flatnonzero(~np.isnan(error))
    figure = new_chart("", "error, in noise deviations", height=440)
    figure.add_scatter(
        x=[names[i] for i in seen],
        y=error[seen],
        mode="lines+markers",
        name="error",
        line={"color": MODEL},
        marker={"size": 9},
        text=[f"{calls[i]} solves" for i in seen],
        hovertemplate="%{y:.3g}, on %{text}<extra></extra>",
    )
    figure.add_scatter(
        x=[names[0], names[-1]],
        y=[threshold, threshold],
        mode="lines",
        name=f"good enough, below {threshold:g}",
        line={"color": TRUTH, "dash": "dash"},
    )
    # With their own format, ticks between powers of ten are written out.
    figure.update_yaxes(type="log", dtick="D2", tickformat=".3~g")
    figure.update_xaxes(type="category", categoryorder="array", categoryarray=names)
    words = ", ".join(f"{names[i]} {rounded(float(error[i]), 2)}" for i in seen)
    return Chart(
        "surrogate",
        "Error of the surrogate",
        "The error of the surrogate at the start of a round, on the round's fresh solves: root "
        "mean square, in standard deviations of the noise. An error near 1 would be taken for "
        "noise.",
        f"Error of the surrogate by round: {words or 'none was judged'}.",
        figure,
    )


def prediction_chart(held_out: HeldOutSolves | None) -> Chart | None:
    """Return predicted against true values of solves that a Gaussian process has not seen."""
    if held_out is None:
        return None
    rows, entries = np.indices(held_out.true.shape)
    shown = evenly(held_out.true.size, _DOTS)
    inside, half = held_out.inside.ravel()[shown], QUANTILE * held_out.deviation.ravel()[shown]
    true, predicted = held_out.true.ravel()[shown], held_out.predicted.ravel()[shown]
    places = np.stack([rows.ravel()[shown] + 1, entries.ravel()[shown] + 1], axis=1)
    figure = new_chart("solver", "surrogate", height=440)
    ends = [float(min(true.min(), predicted.min())), float(max(true.max(), predicted.max()))]
    figure.add_scatter(
        x=ends, y=ends, mode="lines", name="equal", line={"color": TRUTH, "dash": "dash"}
    )
    for mask, colour, name in (
        (inside, MODEL, "95 % interval holds the truth"),
        (~inside, SOLVES, "it does not"),
    ):
        figure.add_scatter(
            x=true[mask],
            y=predicted[mask],
            mode="markers",
            name=name,
            marker={"color": colour, "size": 5},
            error_y={"array": half[mask], "color": faint(colour, 0.5), "width": 0},
            customdata=places[mask],
            hovertemplate="solve %{customdata[0]}, observation %{customdata[1]}: solver %{x:.4g}, "
            "surrogate %{y:.4g}<extra></extra>",
        )
    count = held_out.true.size
    share = f"{held_out.coverage:.0%} of {count} values lie within their 95 % intervals"
    return Chart(
        "held_out",
        "Predictions of solves that the surrogate has not seen",
        f"The solves of the final check, with the predictive intervals. {share}.",
        f"Predicted against true values of {len(held_out.true)} held-out solves: {share}.",
        figure,
    )


def stage_chart(stages: Sequence[Stage]) -> Chart | None:
    """Return the time of every stage as bars."""
    if not stages:
        return None
    names = [words_of(stage.rule) for stage in stages]
    figure = new_chart("time of all jobs together [s]", "", height=90 + 26 * len(stages))
    figure.add_bar(
        y=names,
        x=[stage.seconds for stage in stages],
        orientation="h",
        marker={"color": MODEL},
        text=[duration(stage.seconds) for stage in stages],
        textposition="outside",
        cliponaxis=False,
        showlegend=False,
        customdata=[[stage.jobs] for stage in stages],
        hovertemplate="%{y}: %{x:.1f} s in %{customdata[0]} jobs<extra></extra>",
    )
    longest = max(stage.seconds for stage in stages)
    figure.update_xaxes(range=[0, 1.4 * longest])
    figure.update_yaxes(autorange="reversed", showgrid=False, ticks="")
    first = ", ".join(
        f"{n} {duration(s.seconds)}" for n, s in list(zip(names, stages, strict=True))[:3]
    )
    return Chart(
        "stages",
        "Time by stage",
        "The time of all jobs of a stage together. Simultaneous jobs each count.",
        f"Time by stage, the longest first: {first}.",
        figure,
        wide=True,
    )
