"""Charts of the solver calls: where they were, and what the surrogate has learned of them."""

from __future__ import annotations

import numpy as np
import xarray as xr

from popinv.charts.page_chart import Chart
from popinv.charts.plotly_marks import DOTS
from popinv.charts.plotly_writer import page_figure
from popinv.figures.solver import Plane, round_panels
from popinv.figures.surrogate import predictions_panel
from popinv.inference.surrogate_intervals import HeldOutSolves


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
