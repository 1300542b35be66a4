"""Observations of the data and of the fitted model."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import xarray as xr

from popinv.charts.description import (
    Axis,
    Band,
    Bars,
    Dash,
    Grid,
    Legend,
    Line,
    Mark,
    Marker,
    Panel,
    Points,
    Reference,
    Segments,
    Sheet,
    Stretch,
)
from popinv.charts.style import DATA, LIGHT, MODEL, axis_label, evenly
from popinv.figures.arrangement import Arrangement, ObservedCurve, arrangement, columns_for
from popinv.figures.maps import draw_maps
from popinv.figures.predictive_check import PredictiveCheck, QuantileRanges
from popinv.figures.simulated import LEVELS

_EXAMPLES = 6
_PANELS = 6
# Largest number of names that fit upright under an axis.
_UPRIGHT = 12
_LEVELS = ", ".join(f"{100 * level:g}" for level in LEVELS) + " %"
_SHAPES: tuple[tuple[Marker, float, Dash], ...] = (
    ("triangle-down", 3.5, "dot"),
    ("circle", 4.0, "solid"),
    ("triangle-up", 3.5, "dash"),
)
STANDARD = "observation less its mean over the data,\nin standard deviations of the data"
# Room above for legends: shares of the heights of the quantiles and of their places.
_ROOM = (0.3, 0.6)


def draw_observations(check: PredictiveCheck) -> Sheet:
    """Return quantiles of the observations, and their ranges under the fitted model."""
    data, layout = check.observations["y"], arrangement(check.observations)
    if layout.map is not None:
        return draw_maps(data, layout, check.means, check.deviations)
    pairs = quantile_panels(check, _PANELS)
    if layout.names:
        width = min(16, max(8, 2 + 1.15 * len(layout.names)))
        return _alone("Observations and the fitted model: quantiles by quantity", pairs[0], width)
    title = "Observations and the fitted model: quantiles over the systems"
    if len(pairs) < len(layout.panels):
        title += f", {len(pairs)} of {len(layout.panels)} curves"
    if len(pairs) == 1:
        return _alone(title, pairs[0], 10)
    return _several(title, pairs)


def _alone(title: str, pair: tuple[Panel, Panel], width: float) -> Sheet:
    """Return quantiles over their places, with the legends inside."""
    top, bottom = (
        replace(panel, legend=Legend("upper center", columns), y=replace(panel.y, room=room))
        for panel, room, columns in zip(pair, _ROOM, (3, 4), strict=True)
    )
    top = replace(top, x=replace(top.x, label="", places=None, names=None))
    bottom = replace(
        bottom,
        title="Each quantile within its own range",
        y=replace(bottom.y, label="from the middle, in\nhalves of the range"),
    )
    return Sheet(title, width, 7, Grid([top, bottom], share_x=True, heights=(3, 1.2)))


def _several(title: str, pairs: list[tuple[Panel, Panel]]) -> Sheet:
    columns = columns_for(len(pairs))
    rows = -(-len(pairs) // columns)
    panels: list[Panel | None] = []
    for row in range(rows):
        own = pairs[row * columns : (row + 1) * columns]
        free = [None] * (columns - len(own))
        for half in (0, 1):
            for column, pair in enumerate(own):
                panel = _below(pair[1]) if half else pair[0]
                axis = panel.x if half else replace(panel.x, label="")
                upwards = panel.y if column == 0 else replace(panel.y, label="")
                panels.append(replace(panel, x=axis, y=upwards, title="" if half else panel.title))
            panels += free
    grid = Grid(panels, columns, share_x=True, heights=(3.0, 1.2) * rows, legend=3)
    return Sheet(title, 4.3 * columns, 1 + 4.4 * rows, grid)


def _below(panel: Panel) -> Panel:
    """Return a panel whose marks have the same names in the legend as the marks below."""
    marks = [
        replace(mark, legend=f"below: {mark.label}") if mark.label else mark for mark in panel.marks
    ]
    return replace(panel, marks=marks)


def spread_of(y: np.ndarray) -> np.ndarray:
    """Return the standard deviation of each observation, or 1 if it does not vary."""
    spread = np.nanstd(y, axis=0)
    return np.where(spread > 0, spread, 1.0)


def example_systems(y: np.ndarray, count: int) -> np.ndarray:
    """Return the rows of a few systems, evenly spread over the population by their mean."""
    standard = (y - np.nanmean(y, axis=0)) / spread_of(y)
    ranked = np.argsort(np.nanmean(standard, axis=1), kind="stable")
    return ranked[np.linspace(0, len(y) - 1, min(count, len(y)) + 2).astype(int)[1:-1]]


def quantile_panels(check: PredictiveCheck, most: int) -> list[tuple[Panel, Panel]]:
    """Return quantiles of the data over ranges of the model, and their places in these ranges.

    Quantities with names are beside each other, each in its own standard deviations. Other
    observations have panels for a limited number of curves.
    """
    data, layout = check.observations["y"], arrangement(check.observations)
    if layout.names:
        return [_quantities(data, layout, check.ranges)]
    kept = evenly(len(layout.panels), most)
    binned = [check.bins.layout.panels[i] for i in kept]
    ranges = [check.ranges.of(each.rows) for each in binned]
    departures = [
        own.departure(check.spread[each.rows]) for own, each in zip(ranges, binned, strict=True)
    ]
    heights = [_frame(each) for each in ranges]
    label = ""
    # Different quantities have their names above and no common height.
    if layout.shared_scale:
        label = axis_label(data.attrs["long_name"], data.attrs["units"])
        heights = [(min(low for low, _ in heights), max(high for _, high in heights))] * len(kept)
    end = max(_largest(departure) for departure in departures)
    pairs = []
    for i, each, own, departure, height in zip(
        kept, binned, ranges, departures, heights, strict=True
    ):
        curve = layout.panels[i]
        marks = [*_systems(curve, data.values), *_ranges(each.x, own)]
        top = Panel(Axis(layout.x_label), Axis(label, limits=height), marks, curve.title)
        bottom = Panel(
            Axis(layout.x_label),
            Axis("in halves\nof its range", limits=(-end, end)),
            [
                *_places(),
                *(
                    Line(each.x, row, dash, 1.2, colour=DATA, label=name)
                    for name, row, (_, _, dash) in zip(_NAMES, departure, _SHAPES, strict=True)
                ),
            ],
            curve.title,
        )
        pairs.append((top, bottom))
    return pairs


_NAMES = [f"{100 * level:g} %" for level in LEVELS]


def _systems(curve: ObservedCurve, data: np.ndarray) -> list[Mark]:
    x, y = curve.x, data[:, curve.rows]
    chosen = example_systems(data, _EXAMPLES)
    marks: list[Mark] = []
    for i, row in enumerate(chosen):
        label = "a system observed" if i else f"{len(chosen)} of {len(data)} systems observed"
        seen = ~np.isnan(y[row])
        marks.append(
            Line(
                x[seen],
                y[row, seen],
                width=0.8,
                colour=LIGHT,
                alpha=0.9,
                label=label,
                legend=i == 0,
            )
        )
    return marks


def _ranges(x: np.ndarray, ranges: QuantileRanges) -> list[Mark]:
    marks: list[Mark] = []
    for i in range(len(LEVELS)):
        (band, line, _), shown = _labels(i), i == 1
        ends = ranges.low[i], ranges.high[i]
        marks.append(Band(x, *ends, colour=MODEL, alpha=0.3, label=band, legend=shown))
        marks.append(Line(x, ranges.middle[i], width=1.0, colour=MODEL, label=line, legend=shown))
    return [*marks, *_data(x, ranges.observed)]


def _labels(i: int) -> tuple[str, str, str]:
    """Return the labels of band, model and data of a quantile; the legend has one of each."""
    if i == 1:
        return f"model, 95 % ranges of {_LEVELS}", f"model, {_LEVELS}", f"data, {_LEVELS}"
    return f"model, 95 % range of {_NAMES[i]}", f"model, {_NAMES[i]}", f"data, {_NAMES[i]}"


def _data(x: np.ndarray, observed: np.ndarray) -> list[Mark]:
    # Marks are smaller if there are many, so that neighbours do not overlap.
    scale = 1.0 if len(x) <= 60 else 0.6
    return [
        Points(
            x, observed[i], marker, scale * size, colour=DATA, label=_labels(i)[2], legend=i == 1
        )
        for i, (marker, size, _) in enumerate(_SHAPES)
    ]


def _frame(ranges: QuantileRanges) -> tuple[float, float]:
    every = np.array([ranges.observed, ranges.low, ranges.high])
    low, high = float(every.min()), float(every.max())
    return low - 0.15 * (high - low), high + 0.15 * (high - low)


def _largest(departure: np.ndarray) -> float:
    return max(1.2, 1.1 * float(np.abs(departure).max()))


def _places() -> list[Mark]:
    return [
        Stretch(-1, 1, colour=LIGHT, alpha=0.25, label="95 % range"),
        Reference(0, width=1, colour=LIGHT),
    ]


def _quantities(
    data: xr.DataArray, layout: Arrangement, ranges: QuantileRanges
) -> tuple[Panel, Panel]:
    """Return quantities of different sizes side by side, each in its own standard deviations."""
    mean, spread = np.nanmean(data.values, axis=0), spread_of(data.values)
    standard, x = ranges.scaled(mean, spread), layout.panels[0].x
    marks: list[Mark] = []
    for i in range(len(LEVELS)):
        (band, line, _), shown = _labels(i), i == 1
        ends, level = (standard.low[i], standard.high[i]), standard.middle[i]
        marks += [
            Bars(x, *ends, 0.62, colour=MODEL, alpha=0.35, label=band, legend=shown),
            Segments(x - 0.31, level, x + 0.31, level, colour=MODEL, label=line, legend=shown),
        ]
    marks += _data(x, standard.observed)
    departure = ranges.departure(spread)
    shifted = [
        Points(x + shift, row, marker, 4, colour=DATA, label=name)
        for name, row, shift, (marker, _, _) in zip(
            _NAMES, departure, (-0.18, 0, 0.18), _SHAPES, strict=True
        )
    ]
    axis = quantity_axis(layout, mean, spread, data.attrs["units"])
    top = Panel(axis, Axis(STANDARD, limits=_frame(standard)), marks)
    bottom = Panel(axis, Axis("place in its range", margin=0.15), [*_places(), *shifted])
    return top, bottom


def quantity_axis(
    layout: Arrangement, mean: np.ndarray, spread: np.ndarray, units: str = "1"
) -> Axis:
    """Return an axis with the names of quantities, and their sizes where there is room."""
    ticks = layout.ticks()
    if ticks is None:
        raise ValueError("these observations have no names")
    places, names = ticks
    axis = Axis(limits=(0.4, len(mean) + 0.6), places=places, names=names, grid=False)
    if len(names) > _UPRIGHT:
        return replace(axis, slanted=True)
    unit = "" if units in ("", "1") else f" {units}"
    sizes = [f"{mean[i]:.3g} ± {spread[i]:.3g}{unit}" for i in range(len(mean))]
    return replace(
        axis,
        label="quantity, mean ± standard deviation of the data",
        names=[f"{name}\n{size}" for name, size in zip(names, sizes, strict=True)],
    )
