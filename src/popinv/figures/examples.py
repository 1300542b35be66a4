"""A few systems: their observations, and the noise-free observations if they are known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from popinv.charts.description import (
    Axis,
    Cloud,
    Dash,
    Grid,
    Line,
    Mark,
    Marker,
    Panel,
    Points,
    Segments,
    Sheet,
)
from popinv.charts.style import LIGHT, SYSTEMS, axis_label, evenly
from popinv.figures.arrangement import (
    Arrangement,
    ObservedCurve,
    arrangement,
    columns_for,
    seen_somewhere,
)
from popinv.figures.maps import map_panel
from popinv.figures.observations import STANDARD, example_systems, quantity_axis, spread_of
from popinv.population.limits import limits_in
from popinv.population.observe import system_labels

_PANELS = 6
# Below this width in inches, the legend does not fit into one row.
_NARROW = 10
# Markers of observed values, and of values that are censored below and above.
_MARKERS: dict[int, tuple[Marker, str]] = {
    0: ("circle", "observed"),
    -1: ("triangle-down", "censored below"),
    1: ("triangle-up", "censored above"),
}


def draw_examples(observations: xr.Dataset, truth: xr.Dataset | None = None) -> Sheet:
    """Return five systems, evenly spread over the population by their mean observation.

    Parameters
    ----------
    observations : Dataset
        ``y`` (system, observation), NaN if an observation is missing.
    truth : Dataset, optional
        ``y_clean`` (sample, observation), whose first rows belong to the rows of ``y``. Of groups,
        (sample, member, observation), whose first members are those of ``y``.
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
    called = system_labels(observations)
    names = [called[row] for row in chosen]
    clean = None
    if truth is not None:
        every = truth["y_clean"].values[chosen]
        clean = (every[:, 0] if every.ndim > 2 else every)[:, seen]
    title = f"{len(chosen)} of {len(data)} systems: "
    title += "observations" if clean is None else "noise-free solution and observations"
    # Observations and truth share the axis.
    quantity = data.attrs["long_name"].removeprefix("observed ")
    label = axis_label(quantity, data.attrs["units"])
    if layout.map is not None:
        return _maps(title, label, layout, names, y, clean)
    if layout.names:
        return _quantities(title, data, layout, names, y, clean, sides)
    return _curves(title, label, layout, names, y, clean, sides)


def _points(
    x: np.ndarray, y: np.ndarray, sides: np.ndarray, name: str, colour: str, size: float
) -> list[Mark]:
    """Return observations, with the censored ones (sides -1 below and 1 above) as arrows."""
    marks: list[Mark] = []
    for side, (marker, word) in _MARKERS.items():
        own = sides == side
        if side == 0 or own.any():
            values = np.where(own, y, np.nan)
            marks.append(
                Points(x, values, marker, size, colour=colour, alpha=0.8, label=f"{name}, {word}")
            )
    return marks


def _keys(names: Sequence[str], known: bool, sides: np.ndarray, dash: Dash = "dash") -> list[Mark]:
    """Return what the legend shows."""
    keys: list[Mark] = [
        Points([], [], marker, 4, colour=LIGHT, label=word)
        for side, (marker, word) in _MARKERS.items()
        if side == 0 or (sides == side).any()
    ]
    if known:
        keys.insert(0, Line([], [], dash, colour=LIGHT, label="without noise"))
    return keys + [
        Line([], [], width=4, colour=colour, label=name)
        for colour, name in zip(SYSTEMS, names, strict=False)
    ]


def _curves(
    title: str,
    label: str,
    layout: Arrangement,
    names: Sequence[str],
    y: np.ndarray,
    clean: np.ndarray | None,
    sides: np.ndarray,
) -> Sheet:
    shown = [layout.panels[i] for i in evenly(len(layout.panels), _PANELS)]
    if len(shown) < len(layout.panels):
        title += f" ({len(shown)} of {len(layout.panels)} curves)"
    columns = columns_for(len(shown))
    rows = -(-len(shown) // columns)
    alone, shared = len(shown) == 1, layout.shared_scale
    panels = []
    for i, curve in enumerate(shown):
        below = i + columns >= len(shown) or not shared
        panels.append(
            Panel(
                Axis(layout.x_label if below else ""),
                Axis(label if shared and i % columns == 0 else ""),
                _systems(curve, names, y, clean, sides),
                "" if alone else curve.title,
            )
        )
    width, height = (10, 5.5) if alone else (4.3 * columns, 1 + 3 * rows)
    keys = _keys(names, clean is not None, sides)
    legend = _legend_columns(width)
    grid = Grid(panels, columns, share_y=shared, legend=legend, keys=keys)
    return Sheet(title, width, height, grid)


def _legend_columns(width: float) -> int:
    return 4 if width < _NARROW else 7


def _systems(
    curve: ObservedCurve,
    names: Sequence[str],
    y: np.ndarray,
    clean: np.ndarray | None,
    sides: np.ndarray,
) -> list[Mark]:
    size = 4 if len(curve.x) <= 60 else 2.5
    marks: list[Mark] = []
    for i, (name, colour) in enumerate(zip(names, SYSTEMS, strict=False)):
        observed = y[i, curve.rows]
        if clean is None:
            # If the solution is unknown, a thin line connects the points of a system.
            seen = ~np.isnan(observed)
            marks.append(Line(curve.x[seen], observed[seen], width=0.7, colour=colour, alpha=0.6))
        else:
            true, label = clean[i, curve.rows], f"{name}, without noise"
            marks.append(Line(curve.x, true, "dash", 1.4, colour=colour, label=label))
        marks += _points(curve.x, observed, sides[i, curve.rows], name, colour, size)
    return marks


def _quantities(
    title: str,
    data: xr.DataArray,
    layout: Arrangement,
    names: Sequence[str],
    y: np.ndarray,
    clean: np.ndarray | None,
    sides: np.ndarray,
) -> Sheet:
    mean, spread = np.nanmean(data.values, axis=0), spread_of(data.values)
    x = layout.panels[0].x
    marks: list[Mark] = []
    shifts = np.linspace(-0.28, 0.28, len(y))
    for i, (shift, colour) in enumerate(zip(shifts, SYSTEMS, strict=False)):
        at, observed, name = x + shift, (y[i] - mean) / spread, names[i]
        if clean is not None:
            true, label = (clean[i] - mean) / spread, f"{name}, without noise"
            marks += [
                Segments(at - 0.06, true, at + 0.06, true, width=2.2, colour=colour, label=label),
                Segments(at, true, at, observed, width=0.8, colour=colour),
            ]
        marks += _points(at, observed, sides[i], name, colour, 4)
    panel = Panel(quantity_axis(layout, mean, spread, data.attrs["units"]), Axis(STANDARD), marks)
    width = min(16, max(8, 2 + 1.15 * len(x)))
    keys = _keys(names, clean is not None, sides, "solid")
    return Sheet(title, width, 5.5, Grid([panel], legend=_legend_columns(width), keys=keys))


def _maps(
    title: str,
    label: str,
    layout: Arrangement,
    names: Sequence[str],
    y: np.ndarray,
    clean: np.ndarray | None,
) -> Sheet:
    rows = [("observed", y)] if clean is None else [("without noise", clean), ("observed", y)]
    low = min(float(np.nanmin(values)) for _, values in rows)
    high = max(float(np.nanmax(values)) for _, values in rows)
    panels = [
        map_panel(
            layout,
            Cloud([], [], size=6.3, values=value, least=low, largest=high),
            f"{names[i]}, {whose}",
            left=i == 0,
            low=whose == "observed",
            title_size=9.5,
        )
        for whose, values in rows
        for i, value in enumerate(values)
    ]
    grid = Grid(panels, len(y), share_x=True, share_y=True, scale=label)
    return Sheet(title, 13, 1.2 + 2.7 * len(rows), grid)
