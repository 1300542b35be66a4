"""Charts of the cost of the answer: place and number of solver calls, and time by stage."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from popinv.charts.description import Axis, Bars, Panel
from popinv.charts.page_chart import Chart
from popinv.charts.plotly_marks import DOTS
from popinv.charts.plotly_writer import page_figure
from popinv.charts.style import MODEL
from popinv.figures.solver import Plane, round_panels
from popinv.figures.surrogate import errors_panel, predictions_panel
from popinv.inference.surrogate_intervals import HeldOutSolves
from popinv.report.formats import duration, rounded
from popinv.report.formats import stage as words_of
from popinv.report.records import StageCosts


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
    panels = round_panels(check, plane, np.arange(count))
    of_round = check["round"].values
    choices = [
        f"{name}, {(of_round == r).sum()} solves" for r, name in enumerate(round_names(count))
    ]
    return Chart(
        "solves",
        "Where the solver was called",
        f"Solver calls in two quantities of every system{plane.title}. The first round is spread "
        "broadly. The later rounds follow the population. "
        f"At most {DOTS} dots of a kind are drawn.",
        f"Where each round solved: {'; '.join(choices)}.",
        page_figure(panels, 440, choices=True),
        control="slider",
        control_label="Round",
        choices=tuple(choices),
    )


def error_chart(check: xr.Dataset, threshold: float) -> Chart:
    """Return the surrogate's error on each round's fresh solves."""
    error = check["surrogate_error"].values
    names = round_names(len(error))
    seen = np.flatnonzero(~np.isnan(error))
    words = ", ".join(f"{names[i]} {rounded(float(error[i]), 2)}" for i in seen)
    return Chart(
        "surrogate",
        "Error of the surrogate",
        "The error of the surrogate at the start of a round, on the round's fresh solves: root "
        "mean square, in standard deviations of the noise. An error near 1 would be taken for "
        "noise.",
        f"Error of the surrogate by round: {words or 'none was judged'}.",
        page_figure([errors_panel(error, threshold)], 440),
    )


def prediction_chart(held_out: HeldOutSolves | None) -> Chart | None:
    """Return predicted against true values of solves that a Gaussian process has not seen."""
    if held_out is None:
        return None
    share = (
        f"{held_out.coverage:.0%} of {held_out.true.size} values lie within their 95 % intervals"
    )
    return Chart(
        "held_out",
        "Predictions of solves that the surrogate has not seen",
        "The solves of the final check, with the predictive intervals, at the observation that is "
        f"predicted worst. Of all observations, {share}.",
        f"Predicted against true values of {len(held_out.true)} held-out solves: {share}.",
        page_figure([predictions_panel(held_out)], 440),
    )


def stage_chart(stages: Sequence[StageCosts]) -> Chart | None:
    """Return the time of every stage as bars."""
    if not stages:
        return None
    names = [words_of(stage.rule) for stage in stages]
    seconds = np.array([stage.seconds for stage in stages])
    places = np.arange(len(stages))
    bars = Bars(
        places,
        0 * seconds,
        seconds,
        across=True,
        colour=MODEL,
        texts=[duration(stage.seconds) for stage in stages],
        hover=[
            f"{name}: {stage.seconds:.1f} s in {stage.jobs} jobs"
            for name, stage in zip(names, stages, strict=True)
        ],
    )
    panel = Panel(
        Axis("time of all jobs together [s]", limits=(0, 1.4 * seconds.max())),
        Axis(places=places, names=names, limits=(len(names) - 0.5, -0.5), grid=False),
        [bars],
    )
    first = ", ".join(
        f"{n} {duration(s.seconds)}" for n, s in list(zip(names, stages, strict=True))[:3]
    )
    return Chart(
        "stages",
        "Time by stage",
        "The time of all jobs of a stage together. Simultaneous jobs each count.",
        f"Time by stage, the longest first: {first}.",
        page_figure([panel], 90 + 26 * len(stages)),
        wide=True,
    )
