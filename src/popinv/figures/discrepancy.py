"""The error of the simulator that all systems share, with its intervals and its joint band."""

from __future__ import annotations

import numpy as np
import xarray as xr

from popinv.charts.description import Axis, Band, Legend, Line, Mark, Panel, Points, Reference
from popinv.charts.style import INK, LIGHT, MODEL, TRUTH, axis_label
from popinv.figures.arrangement import NUMBER, Arrangement


def discrepancy_panel(
    population: xr.Dataset,
    layout: Arrangement,
    units: str,
    truth: xr.Dataset | None = None,
) -> Panel | None:
    """Return the discrepancy over places or times; None if the answer has none.

    Parameters
    ----------
    population : Dataset
        The answer.
    layout : Arrangement
        Layout of the observations of one replicate.
    units : str
        Units of the observations.
    truth : Dataset, optional
        The truth of a synthetic study; its noise may have the same parameters.
    """
    if "discrepancy" not in population:
        return None
    single = len(layout.panels) == 1 and not layout.names
    count, label = population["discrepancy"].size, layout.x_label if single else NUMBER
    x = layout.panels[0].x if single else np.arange(1.0, count + 1)
    rows = layout.panels[0].rows if single else np.arange(count)
    if "knot" in population.coords:
        # Each system has sensors at places of its own.
        x, rows, label = population["knot"].values, np.arange(count), "x"

    def values(end: str) -> np.ndarray:
        return np.asarray(population[f"discrepancy{end}"].values[rows])

    marks: list[Mark] = [
        Band(
            x,
            values("_joint_lower"),
            values("_joint_upper"),
            colour=LIGHT,
            alpha=0.35,
            label="95 % band of all",
        ),
        Reference(0, width=0.8, colour=INK),
        Line(x, values(""), width=1.0, colour=MODEL),
        Points(
            x,
            values(""),
            size=5,
            low=values("_lower"),
            high=values("_upper"),
            colour=MODEL,
            label="recovered, 95 % interval",
        ),
    ]
    true = _true_values(truth, count)
    if true is not None:
        marks.append(Line(x, true[rows], "dash", colour=TRUTH, label="true"))
    return Panel(
        Axis(label),
        Axis(axis_label("error of the simulator", units), room=0.25),
        marks,
        "Error of the simulator, the same in all systems",
        legend=Legend("upper center", 3),
    )


def _true_values(truth: xr.Dataset | None, count: int) -> np.ndarray | None:
    """Return the true discrepancy (d,); zero for a truth without one."""
    if truth is None:
        return None
    names = [str(name) for name in truth["noise_parameter"].values]
    wanted = [f"discrepancy_{i + 1}" for i in range(count)]
    if not set(wanted) <= set(names):
        return np.zeros(count)
    return np.asarray(truth["noise"].values[[names.index(name) for name in wanted]])
