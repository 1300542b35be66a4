"""The course of the descent: losses, and the path of every parameter."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import xarray as xr

from popinv.charts.description import Axis, Band, Grid, Line, Mark, Panel, Points, Reference, Sheet
from popinv.charts.style import (
    LIGHT,
    MODEL,
    TRUTH,
    evenly,
    readable,
    running_mean,
)

# Up to this number, each parameter has a panel. More parameters of one kind share a panel.
_PANELS = 8
# Number of panels from which four columns are used, and longest title of one of them.
_WIDE = 12
_LONG_TITLE = 28
# Largest number of drawn parameters of one kind.
_LINES = 24
# Paths that differ by more than this factor share a logarithmic axis.
_UNEQUAL = 30
# A loss that falls by more than this factor is drawn on a logarithmic axis.
_LONG_FALL = 10
# Intervals are drawn at the end, over this share of the iterations.
_END = 0.15


def draw_descent(population: xr.Dataset, truth: xr.Dataset | None = None) -> Sheet:
    """Return the losses and the paths of law and noise parameters.

    Parameters
    ----------
    population : Dataset
        ``loss``, ``fixed_loss``, ``law_path``, ``noise_path``, ``law``, ``noise``, and optionally
        the ends of the intervals. Without losses there was no descent, and the sheet is empty.
    truth : Dataset, optional
        ``law`` and ``noise``.
    """
    if "loss" not in population:
        nothing = Panel(Axis("iteration"), Axis(), [], "No descent: the systems are too few")
        return Sheet("Course of the descent", 3.3, 3.3, Grid([nothing], 1))
    panels = loss_panels(population)
    for kind in ("law", "noise"):
        names = [str(name) for name in population[f"{kind}_parameter"].values]
        panels += [
            path_panel(population, truth, kind, rows, f"{kind}: {title}")
            for title, rows in _together(names)
        ]
    count = len(panels)
    columns = 4 if count > _WIDE else min((3, 4), key=lambda c: (-count % c, c))
    # Only the lowest have the label.
    panels[: count - columns] = [
        replace(panel, x=replace(panel.x, label="")) for panel in panels[: count - columns]
    ]
    grid = Grid(panels, columns, share_x=True, legend=columns)
    rows = -(-count // columns)
    return Sheet("Course of the descent", 3.3 * columns, 1.4 + 2.7 * rows, grid)


def _together(names: list[str]) -> list[tuple[str, list[int]]]:
    """Return the title of each panel and the rows of its parameters."""
    if len(names) <= _PANELS:
        return [(readable(name), [i]) for i, name in enumerate(names)]
    groups: dict[str, list[int]] = {}
    for i, name in enumerate(names):
        # "standard_deviation_3" and "correlation_1_2" are numbered, "mode_3_mean" ends in its kind.
        ends = [kind for kind in ("mean", "standard_deviation") if name.endswith(f"_{kind}")]
        kind = ends[0] if ends else re.sub(r"(_\d+)+$", "", name)
        groups.setdefault(kind, []).append(i)
    if len(groups) > _PANELS:
        groups = {"parameter": list(range(len(names)))}
    panels = []
    for kind, rows in groups.items():
        shown = [rows[i] for i in evenly(len(rows), _LINES)]
        how_many = f"{len(shown)} of {len(rows)}" if len(shown) < len(rows) else f"all {len(rows)}"
        title = f"{how_many} {readable(kind)}s" if len(rows) > 1 else readable(names[rows[0]])
        panels.append((title, shown))
    return panels


def loss_panels(population: xr.Dataset) -> list[Panel]:
    """Return the losses along the descent: weighted by the noise, and in a fixed metric."""
    return [
        _weighted_loss(population["loss"].values),
        _fixed_loss(population["fixed_loss"].values),
    ]


def _weighted_loss(loss: np.ndarray) -> Panel:
    iteration = np.arange(1, len(loss) + 1)
    smooth = running_mean(loss, max(1, len(loss) // 20))
    # The loss of a finite sample scatters about its limit and may be negative with debiasing. A
    # large fall is drawn on a scale that is logarithmic above that scatter and linear within it.
    end = loss[-max(2, len(loss) // 4) :]
    scatter = 4 * float(np.std(end)) + float(np.abs(np.mean(end)))
    y = Axis()
    if smooth.max() > _LONG_FALL * scatter > 0:
        y = Axis(scale="symlog", threshold=scatter)
    return Panel(
        Axis("iteration"),
        y,
        [
            Line(iteration, loss, width=0.7, colour=LIGHT, label="each iteration"),
            Line(iteration, smooth, colour=MODEL, label="running mean"),
        ],
        "Loss, weighted by the noise",
    )


def _fixed_loss(loss: np.ndarray) -> Panel:
    seen = np.flatnonzero(~np.isnan(loss))
    fallen = len(seen) and loss[seen].max() > _LONG_FALL * loss[seen].min() > 0
    marks = [Line(seen + 1, loss[seen], colour=MODEL)]
    y = Axis(scale="log" if fallen else "linear")
    return Panel(Axis("iteration"), y, marks, "Loss in a fixed metric")


def path_panel(
    population: xr.Dataset, truth: xr.Dataset | None, kind: str, rows: list[int], title: str
) -> Panel:
    """Return the paths of some parameters of law or noise along the descent."""
    path = population[f"{kind}_path"].values[:, rows]
    iteration = np.arange(1, len(path) + 1)
    alone, last = len(rows) == 1, iteration[-1]
    width = 1.5 if alone else 0.6
    marks: list[Mark] = [
        Line(iteration, column, width=width, colour=MODEL, label="" if i else "path")
        for i, column in enumerate(path.T)
    ]
    if f"{kind}_lower" in population and alone:
        low, high = (population[f"{kind}_{end}"].values[rows] for end in ("lower", "upper"))
        span = [last - _END * (len(path) - 1), last]
        marks.append(Band(span, low, high, colour=MODEL, alpha=0.25, label="95 % interval"))
    if alone:
        answer = population[kind].values[rows]
        marks.append(Points(last, answer, colour=MODEL, label="answer"))
    dim = f"{kind}_parameter"
    # A truth of another noise family has other parameters.
    if truth is not None and np.array_equal(truth[dim], population[dim]):
        true = truth[kind].values[rows]
        if alone or len(np.unique(true)) == 1:
            level = float(true[0])
            marks.append(Reference(level, dash="dash", width=1.5, colour=TRUTH, label="truth"))
        else:
            label = "truth, at the end"
            marks.append(Points(last, true, "level", 10, colour=TRUTH, label=label))
    wide = not alone and path.min() > 0 and path.max() > _UNEQUAL * path.min()
    size = None if len(title) <= _LONG_TITLE else 9.5
    return Panel(Axis("iteration"), Axis(scale="log" if wide else "linear"), marks, title, size)
