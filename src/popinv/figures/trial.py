"""First solves of a simulator over the observations of a table.

The order of places and times, a shift in time, and other units are seen before anything is learned.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from popinv.charts.description import Axis, Dash, Grid, Line, Panel, Sheet
from popinv.charts.style import DATA, MODEL, axis_label, evenly
from popinv.figures.arrangement import ObservedCurve, arrangement, columns_for
from popinv.figures.observations import STANDARD, quantity_axis, spread_of
from popinv.forward.base import Observations
from popinv.population.observe import observations_dataset

_PANELS, _MOST_SYSTEMS = 6, 30


def draw_trial(
    solved: np.ndarray, seen: np.ndarray, observations: Observations, names: Sequence[str] | None
) -> Sheet:
    """Return the observations of systems that were solved, over those of a table.

    Parameters
    ----------
    solved : ndarray of shape (m, d_y)
        Observations of the simulator.
    seen : ndarray of shape (n, k d_y)
        Rows of the table; k replicates or members are side by side, NaN where nothing was observed.
        At most 30 of them are drawn.
    observations : Observations
        The columns of the observations.
    names : sequence of str, optional
        The names of the d_y columns in the table.
    """
    data = seen.reshape(-1, solved.shape[1])
    data = data[np.isfinite(data).any(axis=1)]
    drawn = data[evenly(len(data), _MOST_SYSTEMS)]
    dataset = observations_dataset(data, observations, 0, column_names=names)
    layout = arrangement(dataset)
    x, label = Axis(layout.x_label), ""
    if layout.shared_scale:
        label = axis_label(dataset["y"].attrs["long_name"], dataset["y"].attrs["units"])
    if layout.names:
        mean, spread = np.nan_to_num(np.nanmean(data, axis=0)), spread_of(data)
        drawn, solved = (drawn - mean) / spread, (solved - mean) / spread
        x, label = quantity_axis(layout, mean, spread, dataset["y"].attrs["units"]), STANDARD
    kept = evenly(len(layout.panels), _PANELS)
    columns = columns_for(len(kept))
    panels = [
        Panel(x, Axis(label), _curves(curve, drawn, solved, len(data)), curve.title)
        for curve in (layout.panels[i] for i in kept)
    ]
    title = "First solves over the observations, before any estimate"
    if len(kept) < len(layout.panels):
        title += f", {len(kept)} of {len(layout.panels)} curves"
    rows = -(-len(kept) // columns)
    grid = Grid(panels, columns, legend=2)
    return Sheet(title, max(8.0, 4.3 * columns), 1.2 + 3.4 * rows, grid)


def _curves(curve: ObservedCurve, data: np.ndarray, solved: np.ndarray, count: int) -> list[Line]:
    told = f"{len(data)} of {count} systems observed" if len(data) < count else "systems observed"
    groups: list[tuple[str, np.ndarray, str, Dash, float]] = [
        (told, data, DATA, "dot", 0.35),
        (f"{len(solved)} solves, parameters from the start", solved, MODEL, "solid", 0.8),
    ]
    return [
        _curve(curve, row, label, colour, dash, alpha, i == 0)
        for label, table, colour, dash, alpha in groups
        for i, row in enumerate(table)
    ]


def _curve(
    curve: ObservedCurve,
    row: np.ndarray,
    label: str,
    colour: str,
    dash: Dash,
    alpha: float,
    legend: bool,
) -> Line:
    values = row[curve.rows]
    there = np.isfinite(values)
    x, y = curve.x[there], values[there]
    return Line(
        x, y, dash, 0.9, "circle", 2.5, colour=colour, alpha=alpha, label=label, legend=legend
    )
