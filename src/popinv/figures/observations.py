"""Observations of the data and of the fitted model."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from popinv.charts.style import DATA, LIGHT, MODEL, axis_label, evenly, new_figure, styled
from popinv.figures.arrangement import Arrangement, Panel, arrangement, columns_for
from popinv.figures.maps import draw_maps
from popinv.figures.predictive_check import PredictiveCheck
from popinv.figures.quantile_ranges import QuantileRanges
from popinv.figures.simulated import LEVELS

_EXAMPLES = 6
_PANELS = 6
# More names do not fit upright under an axis.
_UPRIGHT = 12
_LEVELS = ", ".join(f"{100 * level:g}" for level in LEVELS) + " %"


@styled
def draw_observations(check: PredictiveCheck) -> Figure:
    """Draw quantiles of the observations, and their ranges under the fitted model."""
    data, layout = check.observations["y"], arrangement(check.observations)
    if layout.map is not None:
        return draw_maps(data, layout, check.means, check.deviations)
    if layout.names:
        return _quantities(data, layout, check.ranges)
    return _curves(data, layout, check)


def spread_of(y: np.ndarray) -> np.ndarray:
    """Return the standard deviation of each observation, or 1 if it does not vary."""
    spread = np.nanstd(y, axis=0)
    return np.where(spread > 0, spread, 1.0)


def example_systems(y: np.ndarray, count: int) -> np.ndarray:
    """Return the rows of a few systems, evenly spread over the population by their mean."""
    standard = (y - np.nanmean(y, axis=0)) / spread_of(y)
    ranked = np.argsort(np.nanmean(standard, axis=1), kind="stable")
    return ranked[np.linspace(0, len(y) - 1, min(count, len(y)) + 2).astype(int)[1:-1]]


def _curves(data: xr.DataArray, layout: Arrangement, check: PredictiveCheck) -> Figure:
    kept = evenly(len(layout.panels), _PANELS)
    shown = [layout.panels[i] for i in kept]
    title = "Observations and the fitted model: quantiles over the systems"
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
    for (top, bottom), panel, i in zip(axes, shown, kept, strict=False):
        binned = check.bins.layout.panels[i]
        ranges = check.ranges.of(binned.rows)
        _systems(top, panel, data.values)
        _ranges(top, binned.x, ranges)
        _departures(bottom, binned.x, ranges, check.spread[binned.rows])
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
        bottom.set_ylabel("in halves\nof its range")
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
    bottom.set_title("Each quantile within its own range")
    bottom.set_ylabel("from the middle, in\nhalves of the range")


def _legend_outside(figure: Figure, top: Axes, bottom: Axes) -> None:
    handles, labels = top.get_legend_handles_labels()
    more = bottom.get_legend_handles_labels()
    labels += [f"below: {text}" for text in more[1]]
    figure.legend(handles + more[0], labels, loc="outside lower center", ncols=3)


def _systems(ax: Axes, panel: Panel, data: np.ndarray) -> None:
    x, y = panel.x, data[:, panel.rows]
    chosen = example_systems(data, _EXAMPLES)
    for i, row in enumerate(chosen):
        label = f"{len(chosen)} of {len(data)} systems observed" if i == 0 else "_a system observed"
        seen = ~np.isnan(y[row])
        ax.plot(x[seen], y[row, seen], color=LIGHT, lw=0.8, alpha=0.9, label=label)


def _ranges(ax: Axes, x: np.ndarray, ranges: QuantileRanges) -> None:
    for i in range(len(LEVELS)):
        band, line, _ = _labels(i)
        ax.fill_between(x, ranges.low[i], ranges.high[i], color=MODEL, alpha=0.3, lw=0, label=band)
        ax.plot(x, ranges.middle[i], color=MODEL, lw=1.0, label=line)
    _data_markers(ax, x, ranges.observed)
    _frame(ax, ranges)


def _labels(i: int) -> tuple[str, str, str]:
    """Return the labels of band, model and data of a quantile; the legend has one of each."""
    if i == 1:
        return f"model, 95 % ranges of {_LEVELS}", f"model, {_LEVELS}", f"data, {_LEVELS}"
    level = f"{100 * LEVELS[i]:g} %"
    return f"_model, 95 % range of {level}", f"_model, {level}", f"_data, {level}"


def _frame(ax: Axes, ranges: QuantileRanges) -> None:
    every = np.array([ranges.observed, ranges.low, ranges.high])
    low, high = every.min(), every.max()
    ax.set_ylim(low - 0.15 * (high - low), high + 0.15 * (high - low))


def _data_markers(ax: Axes, x: np.ndarray, observed: np.ndarray) -> None:
    # Marks are smaller if there are many, so that neighbours do not overlap.
    scale = 1.0 if len(x) <= 60 else 0.6
    for i, (marker, size) in enumerate((("v", 3.5), ("o", 4), ("^", 3.5))):
        ax.plot(x, observed[i], marker, color=DATA, ms=scale * size, label=_labels(i)[2])


def _departures(ax: Axes, x: np.ndarray, ranges: QuantileRanges, spread: np.ndarray) -> None:
    departure = ranges.departure(spread)
    ax.axhspan(-1, 1, color=LIGHT, alpha=0.25, lw=0, label="95 % range")
    ax.axhline(0, color=LIGHT, lw=1)
    for level, row, line in zip(LEVELS, departure, (":", "-", "--"), strict=True):
        ax.plot(x, row, line, color=DATA, lw=1.2, label=f"{100 * level:g} %")
    largest = max(1.2, 1.1 * float(np.abs(departure).max()))
    ax.set_ylim(-largest, largest)


def _quantities(data: xr.DataArray, layout: Arrangement, ranges: QuantileRanges) -> Figure:
    """Draw quantities of different sizes side by side, each in its own standard deviations."""
    mean, spread = np.nanmean(data.values, axis=0), spread_of(data.values)
    standard, x = ranges.scaled(mean, spread), layout.panels[0].x
    title = "Observations and the fitted model: quantiles by quantity"
    figure = new_figure(title, min(16, max(8, 2 + 1.15 * len(x))), 7)
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1.2))
    for i in range(len(LEVELS)):
        low, high = standard.low[i], standard.high[i]
        band, line, _ = _labels(i)
        top.bar(x, high - low, 0.62, low, color=MODEL, alpha=0.35, lw=0, label=band)
        ends = x - 0.31, x + 0.31
        top.hlines(standard.middle[i], *ends, color=MODEL, lw=1.8, label=line)
    _data_markers(top, x, standard.observed)
    _frame(top, standard)
    top.set_ylabel("observation less its mean over the data,\nin standard deviations of the data")
    bottom.axhspan(-1, 1, color=LIGHT, alpha=0.25, lw=0, label="95 % range")
    bottom.axhline(0, color=LIGHT, lw=1)
    departure = ranges.departure(spread)
    for level, row, shift, marker in zip(LEVELS, departure, (-0.18, 0, 0.18), "vo^", strict=True):
        bottom.plot(x + shift, row, marker, color=DATA, ms=4, label=f"{100 * level:g} %")
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
