"""Charts of the calibration of the observed systems."""

from __future__ import annotations

import numpy as np

from popinv.charts.description import Axis, Band, Line, Panel
from popinv.charts.plotly_writer import Chart, page_figure
from popinv.charts.style import DATA, LIGHT
from popinv.figures.calibration import GRID, Calibration, Uniformity
from popinv.report.words import rounded


def calibration_charts(found: Calibration, fitted: bool = False) -> list[Chart]:
    """Return the distribution of the transforms of single observations, and of whole systems.

    Parameters
    ----------
    fitted : bool
        Whether the answer has learned from these systems.
    """
    of = " The answer has learned from these systems." if fitted else ""
    return [
        _uniformity(
            found.observations,
            "observations",
            "Calibration of single observations",
            "The transform of an observation is the share of draws of the model below it, "
            f"for the conditions of its own system.{of}",
        ),
        _uniformity(
            found.systems,
            "systems",
            "Calibration of whole systems",
            "The transform of a system is the share of draws of the model with a lower log density "
            f"(of a normal law with the model's mean and covariance).{of}",
        ),
    ]


def _uniformity(found: Uniformity, name: str, title: str, what: str) -> Chart:
    panel = Panel(
        Axis("probability integral transform", limits=(0, 1)),
        Axis("distribution function less uniform"),
        [
            Band(
                GRID,
                found.band.low,
                found.band.high,
                colour=LIGHT,
                alpha=0.2,
                label="95 % band of whole curves",
            ),
            Line(GRID, found.difference, colour=DATA, label="observed systems"),
        ],
    )
    stays = "stays in" if found.inside else "leaves"
    told = f"The curve of {found.count} {name} {stays} the band"
    return Chart(
        f"calibration-{name}",
        title,
        f"{what} If the model is right, the transforms are uniform, and the whole curve is in the "
        f"band in 95 of 100 cases. {told}.",
        f"Distribution function of probability integral transforms less the uniform one. {told}; "
        f"its largest difference is {rounded(float(np.abs(found.difference).max()), 2)}.",
        page_figure([panel], 360),
    )
