"""Observations of the data and of the fitted model."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from popinv.figures.arrangement import (
    Arrangement,
    Panel,
    arrangement,
    columns_for,
    evenly,
    seen_somewhere,
)
from popinv.figures.maps import draw_maps
from popinv.figures.style import DATA, LIGHT, MODEL, axis_label, new_figure, styled

__all__ = ["QUANTILES", "draw_observations", "example_systems", "name_quantities", "spread_of"]

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_EXAMPLES = 6
_PANELS = 6
# More names do not fit upright under an axis.
_UPRIGHT = 12
# Standard error of the median of N normal numbers, in standard deviations over sqrt(N).
_MEDIAN_ERROR = np.sqrt(np.pi / 2)


@styled
def draw_observations(observations: xr.Dataset, sample: np.ndarray) -> Figure:
    """Draw the push-forward of the fitted model over the observations.

    Parameters
    ----------
    observations : Dataset
        ``y`` (system, observation), NaN if an observation is missing, and the coordinates of the
        observations.
    sample : ndarray of shape (m, d_y)
        Observations of the fitted model, noise included.
    """
    seen = seen_somewhere(observations)
    observations, sample = observations.isel(observation=seen), sample[:, seen]
    layout = arrangement(observations)
    if layout.map is not None:
        return draw_maps(observations["y"], layout, sample)
    if layout.names:
        return _quantities(observations["y"], layout, sample)
    return _curves(observations["y"], layout, sample)


def spread_of(y: np.ndarray) -> np.ndarray:
    """Return the standard deviation of each observation, or 1 if it does not vary."""
    spread = np.nanstd(y, axis=0)
    return np.where(spread > 0, spread, 1.0)


def example_systems(y: np.ndarray, count: int) -> np.ndarray:
    """Return the rows of a few systems, evenly spread over the population by their mean."""
    standard = (y - np.nanmean(y, axis=0)) / spread_of(y)
    ranked = np.argsort(np.nanmean(standard, axis=1), kind="stable")
    return ranked[np.linspace(0, len(y) - 1, min(count, len(y)) + 2).astype(int)[1:-1]]


def _curves(data: xr.DataArray, layout: Arrangement, sample: np.ndarray) -> Figure:
    shown = [layout.panels[i] for i in evenly(len(layout.panels), _PANELS)]
    title = "Observations and the fitted model's push-forward"
    if len(shown) < len(layout.panels):
        title += f", {len(shown)} of {len(layout.panels)} curves"
    columns = columns_for(len(shown))
    rows = -(-len(shown) // columns)
    alone = len(shown) == 1
    figure = new_figure(title, 10 if alone else 4.3 * columns, 7 if alone else 1 + 4.4 * rows)
    grid = figure.subplots(
        2 * rows, columns, sharex=True, squeeze=False, height_ratios=(3.0, 1.2) * rows
    )
    axes = [
        (grid[2 * (i // columns), i % columns], grid[2 * (i // columns) + 1, i % columns])
        for i in range(rows * columns)
    ]
    label = axis_label(data.attrs["long_name"], data.attrs["units"])
    for (top, bottom), panel in zip(axes, shown, strict=False):
        _band(top, panel, data.values, sample)
        _differences(bottom, panel, data.values, sample)
        if not alone:
            top.set_title(panel.title)
        bottom.set_xlabel(layout.x_label)
        bottom.xaxis.set_tick_params(labelbottom=True)
    for pair in axes[len(shown) :]:
        for ax in pair:
            ax.remove()
    used = axes[: len(shown)]
    # Different quantities have their names above and no common height.
    if layout.shared_scale:
        _share_heights([top for top, _ in used])
        for top, _ in used[::columns]:
            top.set_ylabel(label)
    _share_heights([bottom for _, bottom in used])
    if alone:
        _legends_inside(*axes[0])
        return figure
    for _, bottom in used[::columns]:
        bottom.set_ylabel("data minus\nmodel, SD")
    _legend_outside(figure, *axes[0])
    return figure


def _share_heights(axes: list[Axes]) -> None:
    low, high = min(ax.get_ylim()[0] for ax in axes), max(ax.get_ylim()[1] for ax in axes)
    for ax in axes:
        ax.set_ylim(low, high)


def _legends_inside(top: Axes, bottom: Axes) -> None:
    for ax, room, columns in ((top, 0.3, 3), (bottom, 0.6, 4)):
        low, high = ax.get_ylim()
        ax.set_ylim(low, high + room * (high - low))
        ax.legend(ncols=columns, loc="upper center")
    bottom.set_title("Difference of the quantiles, data minus model")
    bottom.set_ylabel("standard deviations\nof the data")


def _legend_outside(figure: Figure, top: Axes, bottom: Axes) -> None:
    handles, labels = top.get_legend_handles_labels()
    more = bottom.get_legend_handles_labels()
    labels += [f"difference, {text}" if text.endswith(" %") else text for text in more[1]]
    figure.legend(handles + more[0], labels, loc="outside lower center", ncols=3)


def _quantiles(values: np.ndarray, panel: Panel) -> np.ndarray:
    return np.nanquantile(values[:, panel.rows], QUANTILES, axis=0)


def _band(ax: Axes, panel: Panel, data: np.ndarray, sample: np.ndarray) -> None:
    x, y = panel.x, data[:, panel.rows]
    model, observed = _quantiles(sample, panel), _quantiles(data, panel)
    ax.fill_between(x, model[0], model[4], color=MODEL, alpha=0.18, lw=0, label="model, 5–95 %")
    ax.fill_between(x, model[1], model[3], color=MODEL, alpha=0.32, lw=0, label="model, 25–75 %")
    ax.plot(x, model[2], color=MODEL, label="model, median")
    chosen = example_systems(data, _EXAMPLES)
    for i, row in enumerate(chosen):
        label = f"{len(chosen)} of {len(data)} systems observed" if i == 0 else None
        seen = ~np.isnan(y[row])
        ax.plot(x[seen], y[row, seen], color=LIGHT, lw=0.8, alpha=0.9, label=label)
    _data_markers(ax, x, observed)
    low, high = min(observed[0].min(), model[0].min()), max(observed[4].max(), model[4].max())
    ax.set_ylim(low - 0.15 * (high - low), high + 0.15 * (high - low))


def _data_markers(ax: Axes, x: np.ndarray, observed: np.ndarray) -> None:
    # Marks are smaller if there are many, so that neighbours do not overlap.
    scale = 1.0 if len(x) <= 60 else 0.6
    for i, marker, size in ((0, "_", 7), (1, ".", 5), (2, "o", 4), (3, ".", 5), (4, "_", 7)):
        label = "data, 5, 25, 50, 75, 95 %" if i == 2 else None
        ax.plot(x, observed[i], marker, color=DATA, ms=scale * size, label=label)


def _differences(ax: Axes, panel: Panel, data: np.ndarray, sample: np.ndarray) -> None:
    x, y = panel.x, data[:, panel.rows]
    difference = (_quantiles(data, panel) - _quantiles(sample, panel)) / spread_of(y)
    half = 1.96 * _MEDIAN_ERROR / np.sqrt((~np.isnan(y)).sum(axis=0))
    label = "95 % sampling range of the median"
    ax.fill_between(x, -half, half, color=LIGHT, alpha=0.25, lw=0, label=label)
    ax.axhline(0, color=LIGHT, lw=1)
    for i, line in ((0, ":"), (2, "-"), (4, "--")):
        ax.plot(x, difference[i], line, color=DATA, lw=1.2, label=f"{100 * QUANTILES[i]:g} %")
    largest = max(float(np.abs(difference).max()), half.max())
    ax.set_ylim(-1.2 * largest, 1.2 * largest)


def _quantities(data: xr.DataArray, layout: Arrangement, sample: np.ndarray) -> Figure:
    """Draw quantities of different sizes side by side, each in its own standard deviations."""
    mean, spread = np.nanmean(data.values, axis=0), spread_of(data.values)
    standard, modelled = (data.values - mean) / spread, (sample - mean) / spread
    panel = layout.panels[0]
    model, observed = _quantiles(modelled, panel), _quantiles(standard, panel)
    x, count = panel.x, len(panel.x)
    title = "Observations and the fitted model's push-forward, by quantity"
    figure = new_figure(title, min(16, max(8, 2 + 1.15 * count)), 7)
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1.2))
    for low, high, alpha, label in (
        (model[0], model[4], 0.18, "model, 5–95 %"),
        (model[1], model[3], 0.4, "model, 25–75 %"),
    ):
        top.bar(x, high - low, 0.62, low, color=MODEL, alpha=alpha, lw=0, label=label)
    top.hlines(model[2], x - 0.31, x + 0.31, color=MODEL, lw=1.8, label="model, median")
    _data_markers(top, x, observed)
    top.set_ylabel("observation less its mean over the data,\nin standard deviations of the data")
    half = 1.96 * _MEDIAN_ERROR / np.sqrt((~np.isnan(standard)).sum(axis=0))
    bottom.bar(
        x,
        2 * half,
        0.62,
        -half,
        color=LIGHT,
        alpha=0.25,
        lw=0,
        label="95 % sampling range of the median",
    )
    bottom.axhline(0, color=LIGHT, lw=1)
    for i, shift, marker in ((0, -0.18, "v"), (2, 0.0, "o"), (4, 0.18, "^")):
        difference = observed[i] - model[i]
        label = f"{100 * QUANTILES[i]:g} %"
        bottom.plot(x + shift, difference, marker, color=DATA, ms=4, label=label)
    bottom.margins(y=0.15)
    _legends_inside(top, bottom)
    for ax in (top, bottom):
        ax.grid(axis="x", visible=False)
    name_quantities(bottom, layout, mean, spread, data.attrs["units"])
    return figure


def name_quantities(
    ax: Axes, layout: Arrangement, mean: np.ndarray, spread: np.ndarray, units: str = "1"
) -> None:
    """Write the names of the quantities under an axis, with their sizes where there is room."""
    ax.set_xlim(0.4, len(mean) + 0.6)
    ticks = layout.ticks()
    if ticks is None:
        raise ValueError("these observations have no names")
    places, names = ticks
    if len(names) > _UPRIGHT:
        ax.set_xticks(places, names, rotation=45, ha="right", rotation_mode="anchor")
        return
    unit = "" if units in ("", "1") else f" {units}"
    sizes = [f"{mean[i]:.3g} ± {spread[i]:.3g}{unit}" for i in range(len(mean))]
    labels = [f"{name}\n{size}" for name, size in zip(names, sizes, strict=True)]
    ax.set_xticks(places, labels)
    ax.set_xlabel("quantity, mean ± standard deviation of the data")
