"""Lorenz-96: Hovmöller diagrams, and the observed averages."""

from __future__ import annotations

import re

import numpy as np
import xarray as xr

from popinv.charts.description import Axis, Line, Mark, Panel, Points, Reference, Sheet, Stretch
from popinv.charts.style import DATA, LIGHT, SYSTEMS
from popinv.figures.gallery.systems import DrawnSystems, PanelRow, in_columns, steps_of_colour
from popinv_models.lorenz96.section import OBSERVABLES

# Time span of a diagram of the slow variables.
_SPAN = 20.0
# Margin above and below, as a share of the range of the averages.
_ROOM = 0.6
# With fewer columns than this, the legend does not fit into one row.
_NARROW = 3
_SHOWN = "#F3D9A4"
_LOWERED, _RAISED = str.maketrans("jk+01234", "ⱼₖ₊₀₁₂₃₄"), str.maketrans("2", "²")


def draw(systems: DrawnSystems) -> Sheet:
    """Return the variables over place and time, and below them an average over each window.

    The states hold ``x``, and with two scales ``y``, as
    `popinv_models.lorenz96.states.states` returns them.
    """
    states = systems.states
    fast = "y" in states
    times = states["fast_time" if fast else "time"].values
    shown = min(float(times[-1]), _SPAN)
    rows = [_slow(states, shown), *([_fast(states)] if fast else [])]
    name = _averaged(systems.observations)
    if name is None:
        return in_columns(systems, rows, 0, [])
    windows, window = int(states.attrs["windows"]), float(states.attrs["window"])
    span = shown if shown > 0.02 * windows * window else None
    keys: list[Mark] = [
        Line([], [], colour=SYSTEMS[0], label="mean over the ring since the window began"),
        Points([], [], size=5, colour=DATA, label="observed average"),
    ]
    if windows > 1:
        keys.append(Line([], [], width=0.8, colour=LIGHT, label="end of a window"))
    if span is not None:
        keys.append(Stretch(0, 1, colour=_SHOWN, label="time span shown above"))
    rows.append(_averages(systems, name, span))
    return in_columns(systems, rows, 4 if len(systems) > _NARROW else 2, keys)


def _averaged(observations: xr.Dataset) -> str | None:
    """Return the first observable of the slow variables alone, if there is one."""
    names = [label.split(",")[0] for label in observations["label"].values.astype(str)]
    of_slow = [n for n in names if {OBSERVABLES[n].first, OBSERVABLES[n].second} <= {"one", "x"}]
    return of_slow[0] if of_slow else None


def _hovmoeller(
    values: np.ndarray, places: int, time: float, label: str, place: str, edges: list[Mark]
) -> PanelRow:
    largest = float(np.quantile(np.abs(values), 0.999))
    extent = (0.5, places + 0.5, time, 0.0)
    bounds = (-largest, largest)
    x, y = Axis(place), Axis("time since the spin-up\n(downwards)", limits=(time, 0.0))
    maps = [steps_of_colour(each, "diverging", bounds, extent, label) for each in values]
    return PanelRow([Panel(x, y, [each, *edges]) for each in maps], 2.8, label)


def _slow(states: xr.Dataset, shown: float) -> PanelRow:
    window = float(states.attrs["window"])
    edges: list[Mark] = [
        Reference(edge, width=1.2, colour=DATA)
        for edge in np.arange(window, shown * (1 - 1e-9), window)
    ]
    values = states["x"].sel(time=slice(0, shown * (1 + 1e-9))).values
    place = "place k on the ring"
    return _hovmoeller(values, states.sizes["place"], shown, _indexed("X_k"), place, edges)


def _fast(states: xr.Dataset) -> PanelRow:
    y = states["y"]
    # The sectors side by side form one ring.
    ring = y.values.reshape(*y.shape[:2], -1)
    time = float(states["fast_time"].values[-1])
    place = "place k on the ring, j within"
    return _hovmoeller(ring, y.sizes["place"], time, _indexed("Y_jk"), place, [])


def _averages(systems: DrawnSystems, name: str, shown: float | None) -> PanelRow:
    """Return the mean since the start of each window, which ends at the observed average."""
    states = systems.states
    window, windows = float(states.attrs["window"]), int(states.attrs["windows"])
    labels = systems.observations["label"].values.astype(str)
    entries = [k for k, label in enumerate(labels) if label.split(",")[0] == name]
    product = OBSERVABLES[name]
    x, ones = states["x"].values, np.ones_like(states["x"].values)
    first, second = ((x if f == "x" else ones) for f in (product.first, product.second))
    series = (first * np.roll(second, -product.lag, axis=-1)).mean(axis=-1)
    by_window = series.reshape(len(series), windows, -1)
    since = np.cumsum(by_window, axis=-1) / np.arange(1, by_window.shape[-1] + 1)
    ends, observed = since[:, :, -1], systems.y[:, entries]
    time = states["time"].values.reshape(windows, -1)
    low = min(float(np.nanmin(observed)), float(ends.min()))
    high = max(float(np.nanmax(observed)), float(ends.max()))
    room = _ROOM * (high - low)
    across = Axis("time since the spin-up", limits=(0, windows * window), grid=False)
    up = Axis(f"average of\n{_indexed(product.long_name)}", limits=(low - room, high + room))
    panels = []
    for i in range(len(systems)):
        marks: list[Mark] = []
        if shown is not None:
            marks.append(Stretch(0, shown, upright=True, colour=_SHOWN))
        for w in range(windows):
            label = "mean since the window began"
            marks.append(Line(time[w], since[i, w], width=1.3, colour=SYSTEMS[i], label=label))
            if w:
                marks.append(Reference(w * window, upright=True, width=0.8, colour=LIGHT))
        told = "observed average"
        marks.append(Points(time[:, -1], observed[i], size=5, clip=False, label=told))
        panels.append(Panel(across, up, marks))
    return PanelRow(panels, 1.6)


def _indexed(name: str) -> str:
    """Return a name with its indices below and its powers above the line."""
    name = re.sub(r"_\{?([jk+\d]+)\}?", lambda found: found[1].translate(_LOWERED), name)
    return re.sub(r"\^(2)", lambda found: found[1].translate(_RAISED), name)
