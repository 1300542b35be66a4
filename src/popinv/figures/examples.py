"""A few systems: their observations, and the noise-free observations if they are known."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from popinv.charts.style import LIGHT, SEQUENTIAL, SYSTEMS, axis_label, evenly, new_figure, styled
from popinv.figures.arrangement import Arrangement, Panel, arrangement, columns_for, seen_somewhere
from popinv.figures.maps import frame_maps
from popinv.figures.observations import example_systems, name_quantities, spread_of
from popinv.population.limits import limits_in

_PANELS = 6
# Below this width in inches, the legend does not fit into one row.
_NARROW = 10
# Of observations that were seen, and of those that are censored below and above.
_MARKERS = {0: ("o", "observed"), -1: ("v", "censored below"), 1: ("^", "censored above")}


@styled
def draw_examples(observations: xr.Dataset, truth: xr.Dataset | None = None) -> Figure:
    """Draw five systems, evenly spread over the population by their mean observation.

    Parameters
    ----------
    observations : Dataset
        ``y`` (system, observation), NaN if an observation is missing.
    truth : Dataset, optional
        ``y_clean`` (sample, observation), whose first rows belong to the rows of ``y``.
    """
    seen = seen_somewhere(observations)
    observations = observations.isel(observation=seen)
    data = observations["y"]
    layout = arrangement(observations)
    chosen = example_systems(data.values, len(SYSTEMS))
    y, sides = data.values[chosen], np.zeros((len(chosen), data.shape[1]), dtype=int)
    if (limits := limits_in(observations, "")) is not None:
        below, above = limits.censored(data.values)
        sides = np.subtract(above, below, dtype=int)[chosen]
    clean = None if truth is None else truth["y_clean"].values[chosen][:, seen]
    title = f"{len(chosen)} of {len(data)} systems: "
    title += "observations" if clean is None else "noise-free solution and observations"
    # Observations and truth share the axis.
    quantity = data.attrs["long_name"].removeprefix("observed ")
    label = axis_label(quantity, data.attrs["units"])
    if layout.map is not None:
        return _maps(title, label, layout, y, clean)
    if layout.names:
        return _quantities(title, data, layout, y, clean, sides)
    return _curves(title, label, layout, y, clean, sides)


def _points(
    ax: Axes, x: np.ndarray, y: np.ndarray, sides: np.ndarray, name: str, colour: str, size: float
) -> None:
    """Draw observations, with the censored ones (sides -1 below and 1 above) as arrows."""
    for side, (marker, word) in _MARKERS.items():
        own = sides == side
        if side == 0 or own.any():
            values = np.where(own, y, np.nan)
            label = f"{name}, {word}"
            ax.plot(x, values, marker, ls="", color=colour, ms=size, alpha=0.8, mew=0, label=label)


def _legend(figure: Figure, known: bool, sides: np.ndarray, line: str = "--") -> None:
    handles = [
        Line2D([], [], marker=marker, ms=4, ls="", color=LIGHT, label=word)
        for side, (marker, word) in _MARKERS.items()
        if side == 0 or (sides == side).any()
    ]
    if known:
        handles.insert(0, Line2D([], [], ls=line, lw=1.8, color=LIGHT, label="without noise"))
    handles += [
        Line2D([], [], color=c, lw=4, label=f"system {i + 1}") for i, c in enumerate(SYSTEMS)
    ]
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=4 if figure.get_figwidth() < _NARROW else 7,
    )


def _curves(
    title: str,
    label: str,
    layout: Arrangement,
    y: np.ndarray,
    clean: np.ndarray | None,
    sides: np.ndarray,
) -> Figure:
    shown = [layout.panels[i] for i in evenly(len(layout.panels), _PANELS)]
    if len(shown) < len(layout.panels):
        title += f" ({len(shown)} of {len(layout.panels)} curves)"
    columns = columns_for(len(shown))
    rows = -(-len(shown) // columns)
    alone = len(shown) == 1
    figure = new_figure(title, 10 if alone else 4.3 * columns, 5.5 if alone else 1 + 3 * rows)
    shared = layout.shared_scale
    grid = figure.subplots(rows, columns, squeeze=False, sharey=shared)
    for ax, panel in zip(grid.flat, shown, strict=False):
        _systems(ax, panel, y, clean, sides)
        ax.set_title("" if alone else panel.title)
        ax.set_xlabel(layout.x_label)
        if shared:
            ax.set_ylabel(label)
            ax.label_outer()
    for ax in grid.flat[len(shown) :]:
        ax.remove()
    _legend(figure, clean is not None, sides)
    return figure


def _systems(
    ax: Axes, panel: Panel, y: np.ndarray, clean: np.ndarray | None, sides: np.ndarray
) -> None:
    size = 4 if len(panel.x) <= 60 else 2.5
    for i, colour in zip(range(len(y)), SYSTEMS, strict=False):
        observed = y[i, panel.rows]
        if clean is None:
            # If the solution is unknown, a thin line connects the points of a system.
            seen = ~np.isnan(observed)
            ax.plot(panel.x[seen], observed[seen], color=colour, lw=0.7, alpha=0.6)
        else:
            label = f"_system {i + 1}, without noise"
            ax.plot(panel.x, clean[i, panel.rows], "--", color=colour, lw=1.4, label=label)
        _points(ax, panel.x, observed, sides[i, panel.rows], f"_system {i + 1}", colour, size)


def _quantities(
    title: str,
    data: xr.DataArray,
    layout: Arrangement,
    y: np.ndarray,
    clean: np.ndarray | None,
    sides: np.ndarray,
) -> Figure:
    mean, spread = np.nanmean(data.values, axis=0), spread_of(data.values)
    x = layout.panels[0].x
    figure = new_figure(title, min(16, max(8, 2 + 1.15 * len(x))), 5.5)
    ax = figure.subplots()
    shifts = np.linspace(-0.28, 0.28, len(y))
    for i, (shift, colour) in enumerate(zip(shifts, SYSTEMS, strict=False)):
        at, observed = x + shift, (y[i] - mean) / spread
        if clean is not None:
            true = (clean[i] - mean) / spread
            label = f"_system {i + 1}, without noise"
            ax.hlines(true, at - 0.06, at + 0.06, color=colour, lw=2.2, label=label)
            ax.vlines(at, true, observed, color=colour, lw=0.8)
        _points(ax, at, observed, sides[i], f"_system {i + 1}", colour, 4)
    ax.grid(axis="x", visible=False)
    ax.set_ylabel("observation less its mean over the data,\nin standard deviations of the data")
    name_quantities(ax, layout, mean, spread, data.attrs["units"])
    _legend(figure, clean is not None, sides, line="-")
    return figure


def _maps(
    title: str, label: str, layout: Arrangement, y: np.ndarray, clean: np.ndarray | None
) -> Figure:
    rows = [("observed", y)] if clean is None else [("without noise", clean), ("observed", y)]
    figure = new_figure(title, 13, 1.2 + 2.7 * len(rows))
    grid = figure.subplots(len(rows), len(y), squeeze=False, sharex=True, sharey=True)
    low = min(float(np.nanmin(values)) for _, values in rows)
    high = max(float(np.nanmax(values)) for _, values in rows)
    across, up = np.asarray(layout.map).T
    for axes, (whose, values) in zip(grid, rows, strict=True):
        for i, (ax, value) in enumerate(zip(axes, values, strict=True)):
            dots = ax.scatter(across, up, c=value, vmin=low, vmax=high, cmap=SEQUENTIAL, s=40)
            ax.set_title(f"System {i + 1}, {whose}", fontsize=9.5)
    figure.colorbar(dots, ax=grid, label=label)
    frame_maps(grid, layout)
    return figure
