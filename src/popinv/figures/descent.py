"""The course of the descent: losses, and every parameter on its way."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from popinv.figures.style import LIGHT, MODEL, TRUTH, new_figure, readable, running_mean, styled

__all__ = ["draw_descent"]

# More parameters than this of one kind share a panel.
_PANELS = 6
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
        ``loss``, ``fixed_loss``, ``law_path``, ``noise_path``, ``law``, ``noise``, and the ends
        of the intervals where systems were resampled.
    truth : Dataset, optional
        ``law`` and ``noise``.
    """
    panels: list[tuple[str, list[int]]] = []
    for kind in ("law", "noise"):
        count = population.sizes[f"{kind}_parameter"]
        together = [list(range(count))] if count > _PANELS else [[i] for i in range(count)]
        panels += [(kind, rows) for rows in together]
    # One place more than there are panels, for the legend.
    places = 3 + len(panels)
    columns = min((3, 4), key=lambda c: (-places % c, c))
    rows = -(-places // columns)
    figure = new_figure("Course of the descent", 3.3 * columns, 0.8 + 2.7 * rows)
    axes = figure.subplots(rows, columns, sharex=True, squeeze=False)
    flat = axes.ravel()
    _weighted_loss(flat[0], population["loss"].values)
    _fixed_loss(flat[1], population["fixed_loss"].values)
    for ax, (kind, chosen) in zip(flat[2:], panels, strict=False):
        _paths(ax, population, truth, kind, chosen)
    used = 2 + len(panels)
    by_label: dict[str, object] = {}
    for i, ax in enumerate(flat):
        by_label |= {label: h for h, label in zip(*ax.get_legend_handles_labels(), strict=True)}
        if i >= used:
            ax.set_axis_off()
        elif i + columns >= used:
            ax.xaxis.set_tick_params(labelbottom=True)
    figure.supxlabel("iteration")
    flat[used].legend(list(by_label.values()), list(by_label), loc="center left")
    return figure


def _weighted_loss(ax: Axes, loss: np.ndarray) -> None:
    iteration = np.arange(1, len(loss) + 1)
    ax.plot(iteration, loss, color=LIGHT, lw=0.7, label="each iteration")
    smooth = running_mean(loss, max(1, len(loss) // 20))
    ax.plot(iteration, smooth, color=MODEL, label="running mean")
    # The loss of a finite sample scatters about its limit and may be negative once debiased: a
    # long fall is drawn logarithmic above that scatter and linear within it.
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
    if truth is not None:
        true = np.unique(truth[kind].values[rows])
        if alone or len(true) == 1:
            ax.axhline(true[0], color=TRUTH, ls="--", lw=1.5, label="truth")
        else:
            ends = np.full(len(rows), iteration[-1])
            ax.plot(
                ends, truth[kind].values[rows], "_", color=TRUTH, ms=10, label="truth, at the end"
            )
    name = readable(str(population[f"{kind}_parameter"].values[rows[0]]))
    title = f"{kind}: {name}" if alone else f"{kind}: all {len(rows)} parameters"
    ax.set_title(title)
