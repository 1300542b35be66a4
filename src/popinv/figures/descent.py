"""The course of the descent: losses, and the path of every parameter."""

from __future__ import annotations

import re

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from popinv.charts.style import (
    LIGHT,
    MODEL,
    TRUTH,
    evenly,
    labels_once,
    new_figure,
    readable,
    running_mean,
    styled,
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


@styled
def draw_descent(population: xr.Dataset, truth: xr.Dataset | None = None) -> Figure:
    """Draw the losses and the paths of law and noise parameters.

    Parameters
    ----------
    population : Dataset
        ``loss``, ``fixed_loss``, ``law_path``, ``noise_path``, ``law``, ``noise``, and optionally
        the ends of the intervals.
    truth : Dataset, optional
        ``law`` and ``noise``.
    """
    panels: list[tuple[str, str, list[int]]] = []
    for kind in ("law", "noise"):
        names = [str(name) for name in population[f"{kind}_parameter"].values]
        panels += [(kind, title, rows) for title, rows in _together(names)]
    places = 2 + len(panels)
    columns = 4 if places > _WIDE else min((3, 4), key=lambda c: (-places % c, c))
    rows = -(-places // columns)
    figure = new_figure("Course of the descent", 3.3 * columns, 1.4 + 2.7 * rows)
    axes = figure.subplots(rows, columns, sharex=True, squeeze=False)
    flat = axes.ravel()
    _weighted_loss(flat[0], population["loss"].values)
    _fixed_loss(flat[1], population["fixed_loss"].values)
    for ax, (kind, title, chosen) in zip(flat[2:], panels, strict=False):
        _paths(ax, population, truth, kind, chosen)
        title = f"{kind}: {title}"
        ax.set_title(title, fontsize=11.5 if len(title) <= _LONG_TITLE else 9.5)
    handles, labels = labels_once(*flat)
    for i, ax in enumerate(flat):
        if i >= places:
            ax.remove()
        elif i + columns >= places:
            ax.xaxis.set_tick_params(labelbottom=True)
            ax.set_xlabel("iteration")
    figure.legend(handles, labels, loc="outside lower center", ncols=columns)
    return figure


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


def _weighted_loss(ax: Axes, loss: np.ndarray) -> None:
    iteration = np.arange(1, len(loss) + 1)
    ax.plot(iteration, loss, color=LIGHT, lw=0.7, label="each iteration")
    smooth = running_mean(loss, max(1, len(loss) // 20))
    ax.plot(iteration, smooth, color=MODEL, label="running mean")
    # The loss of a finite sample scatters about its limit and may be negative with debiasing. A
    # large fall is drawn on a scale that is logarithmic above that scatter and linear within it.
    end = loss[-max(2, len(loss) // 4) :]
    scatter = 4 * float(np.std(end)) + float(np.abs(np.mean(end)))
    if smooth.max() > _LONG_FALL * scatter > 0:
        ax.set_yscale("symlog", linthresh=scatter)
    ax.set(title="Loss, weighted by the noise")


def _fixed_loss(ax: Axes, loss: np.ndarray) -> None:
    seen = np.flatnonzero(~np.isnan(loss))
    ax.plot(seen + 1, loss[seen], color=MODEL)
    if len(seen) and loss[seen].min() > 0 and loss[seen].max() > _LONG_FALL * loss[seen].min():
        ax.set_yscale("log")
    ax.set(title="Loss in a fixed metric")


def _paths(
    ax: Axes, population: xr.Dataset, truth: xr.Dataset | None, kind: str, rows: list[int]
) -> None:
    path = population[f"{kind}_path"].values[:, rows]
    iteration = np.arange(1, len(path) + 1)
    alone = len(rows) == 1
    lines = ax.plot(iteration, path, color=MODEL, lw=1.5 if alone else 0.6)
    lines[0].set_label("path")
    start = iteration[-1] - _END * (len(path) - 1)
    if f"{kind}_lower" in population:
        low, high = (population[f"{kind}_{end}"].values[rows] for end in ("lower", "upper"))
        if alone:
            span = [start, iteration[-1]]
            ax.fill_between(
                span, low[0], high[0], color=MODEL, alpha=0.25, lw=0, label="95 % interval"
            )
    if alone:
        ax.plot(iteration[-1], population[kind].values[rows], "o", color=MODEL, label="answer")
    dim = f"{kind}_parameter"
    # A truth of another noise family has other parameters.
    if truth is not None and np.array_equal(truth[dim], population[dim]):
        true = np.unique(truth[kind].values[rows])
        if alone or len(true) == 1:
            ax.axhline(true[0], color=TRUTH, ls="--", lw=1.5, label="truth")
        else:
            ends = np.full(len(rows), iteration[-1])
            ax.plot(
                ends, truth[kind].values[rows], "_", color=TRUTH, ms=10, label="truth, at the end"
            )
    if not alone and path.min() > 0 and path.max() > _UNEQUAL * path.min():
        ax.set_yscale("log")
