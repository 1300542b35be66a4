"""Lorenz-96: Hovmöller diagrams, and the observed averages."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from popinv.charts.style import DATA, DIVERGING, LIGHT, SYSTEMS
from popinv.figures.gallery.columns import Columns, DrawnSystems, columns, filled_contours
from popinv.forward.lorenz96.section import OBSERVABLES

# Time span of a diagram of the slow variables.
_SPAN = 20.0
# Margin above and below, as a share of the range of the averages.
_ROOM = 0.6
# With fewer columns than this, the legend does not fit into one row.
_NARROW = 3
_SHOWN = "#F3D9A4"


def draw(systems: DrawnSystems) -> Figure:
    """Draw the variables over place and time, and below them an average over each window.

    The states hold ``x``, and with two scales ``y``, as
    `popinv.forward.lorenz96.states.states` returns them.
    """
    states = systems.states
    fast = "y" in states
    name = _averaged(systems.observations)
    grid = columns(systems, (2.8, *((2.8,) if fast else ()), *((1.6,) if name else ())))
    times = states["fast_time" if fast else "time"].values
    shown = min(float(times[-1]), _SPAN)
    _slow(systems, grid, shown)
    if fast:
        _fast(systems, grid)
    if name:
        _averages(systems, grid, name, shown)
    return grid.figure


def _averaged(observations: xr.Dataset) -> str | None:
    """Return the first observable of the slow variables alone, if there is one."""
    names = [label.split(",")[0] for label in observations["label"].values.astype(str)]
    of_slow = [n for n in names if {OBSERVABLES[n].first, OBSERVABLES[n].second} <= {"one", "x"}]
    return of_slow[0] if of_slow else None


def _hovmoeller(
    row: Sequence[Axes], grid: Columns, values: np.ndarray, places: int, time: float, label: str
) -> None:
    largest = float(np.quantile(np.abs(values), 0.999))
    for i, ax in enumerate(row):
        extent = (0.5, places + 0.5, time, 0)
        image = filled_contours(ax, values[i], DIVERGING, (-largest, largest), extent)
        ax.grid(False)
    row[0].set_ylabel("time since the spin-up\n(downwards)")
    grid.figure.colorbar(image, ax=list(row), label=label, pad=0.01)


def _slow(systems: DrawnSystems, grid: Columns, shown: float) -> None:
    row, x = grid.rows[0], systems.states["x"]
    part = x.sel(time=slice(0, shown * (1 + 1e-9)))
    _hovmoeller(row, grid, part.values, x.sizes["place"], shown, "$X_k$")
    window = float(systems.states.attrs["window"])
    for ax in row:
        for edge in np.arange(window, shown * (1 - 1e-9), window):
            ax.axhline(edge, color=DATA, lw=1.2)
        ax.set_xlabel("place k on the ring")


def _fast(systems: DrawnSystems, grid: Columns) -> None:
    row, y = grid.rows[1], systems.states["y"]
    # The sectors side by side form one ring.
    ring = y.values.reshape(*y.shape[:2], -1)
    time = float(systems.states["fast_time"].values[-1])
    _hovmoeller(row, grid, ring, y.sizes["place"], time, "$Y_{jk}$")
    for ax in row:
        ax.set_xlabel("place k on the ring, j within")


def _averages(systems: DrawnSystems, grid: Columns, name: str, shown: float) -> None:
    """Draw the mean since the start of each window, which ends at the observed average."""
    row, states = grid.rows[-1], systems.states
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
    visible = shown > 0.02 * windows * window
    for i, ax in enumerate(row):
        if visible:
            ax.axvspan(0, shown, color=_SHOWN, lw=0)
        for w in range(windows):
            ax.plot(time[w], since[i, w], color=SYSTEMS[i], lw=1.3)
            if w:
                ax.axvline(w * window, color=LIGHT, lw=0.8)
        ax.plot(time[:, -1], observed[i], "o", color=DATA, ms=5, clip_on=False, zorder=3)
        ax.set(xlim=(0, windows * window), ylim=(low - room, high + room))
        ax.set_xlabel("time since the spin-up")
        ax.grid(axis="x", visible=False)
    row[0].set_ylabel(f"average of\n${_math(product.long_name)}$")
    handles: list[Artist] = [
        Line2D([], [], color=SYSTEMS[0], label="mean over the ring since the window began"),
        Line2D([], [], color=DATA, marker="o", ms=5, ls="", label="observed average"),
    ]
    if windows > 1:
        handles.append(Line2D([], [], color=LIGHT, lw=0.8, label="end of a window"))
    if visible:
        handles.append(Patch(color=_SHOWN, label="time span shown above"))
    grid.figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=4 if len(systems) > _NARROW else 2,
    )


def _math(long_name: str) -> str:
    return long_name.replace(" ", r"\,")
