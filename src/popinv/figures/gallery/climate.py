"""Lorenz-96: Hovmöller diagrams, and the averages that are observed of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from popinv.figures.gallery.columns import Columns, Systems, columns, filled_contours
from popinv.figures.style import DATA, DIVERGING, LIGHT, SYSTEMS
from popinv.forward.lorenz96.description import OBSERVABLES

__all__ = ["draw_climate"]

# Time that a diagram of the slow variables shows.
_SPAN = 20.0
# Of the range of the averages, above and below.
_ROOM = 0.6
# So few columns do not hold the legend in one row.
_NARROW = 3
_SHOWN = "#F3D9A4"


def draw_climate(systems: Systems) -> Figure:
    """Draw the variables over place and time, and below them an average over each window.

    The states hold ``x``, and with two scales ``y``, as
    `popinv.forward.lorenz96.states.states` returns them.
    """
    states = systems.states
    fast = "y" in states
    name = _averaged(systems.observations)
    found = columns(systems, (2.8, *((2.8,) if fast else ()), *((1.6,) if name else ())))
    times = states["fast_time" if fast else "time"].values
    shown = min(float(times[-1]), _SPAN)
    _slow(systems, found, shown)
    if fast:
        _fast(systems, found)
    if name:
        _averages(systems, found, name, shown)
    return found.figure


def _averaged(observations: xr.Dataset) -> str | None:
    """Return the first observable of the slow variables alone, if there is one."""
    names = [label.split(",")[0] for label in observations["label"].values.astype(str)]
    of_slow = [n for n in names if {OBSERVABLES[n].first, OBSERVABLES[n].second} <= {"one", "x"}]
    return of_slow[0] if of_slow else None


def _hovmoeller(
    row: Sequence[Axes], found: Columns, values: np.ndarray, places: int, time: float, label: str
) -> None:
    largest = float(np.quantile(np.abs(values), 0.999))
    for i, ax in enumerate(row):
        extent = (0.5, places + 0.5, time, 0)
        image = filled_contours(ax, values[i], DIVERGING, (-largest, largest), extent)
        ax.grid(False)
    row[0].set_ylabel("time since the spin-up\n(downwards)")
    found.figure.colorbar(image, ax=list(row), label=label, pad=0.01)


def _slow(systems: Systems, found: Columns, shown: float) -> None:
    row, x = found.rows[0], systems.states["x"]
    part = x.sel(time=slice(0, shown * (1 + 1e-9)))
    _hovmoeller(row, found, part.values, x.sizes["place"], shown, "$X_k$")
    window = float(systems.states.attrs["window"])
    for ax in row:
        for edge in np.arange(window, shown * (1 - 1e-9), window):
            ax.axhline(edge, color=DATA, lw=1.2)
        ax.set_xlabel("place k on the ring")


def _fast(systems: Systems, found: Columns) -> None:
    row, y = found.rows[1], systems.states["y"]
    # The sectors side by side are one ring.
    ring = y.values.reshape(*y.shape[:2], -1)
    time = float(systems.states["fast_time"].values[-1])
    _hovmoeller(row, found, ring, y.sizes["place"], time, "$Y_{jk}$")
    for ax in row:
        ax.set_xlabel("place k on the ring, j within")


def _averages(systems: Systems, found: Columns, name: str, shown: float) -> None:
    """Draw the mean since each window began, which ends as what is observed."""
    row, states = found.rows[-1], systems.states
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
        Line2D([], [], color=DATA, marker="o", ms=5, ls="", label="what was observed"),
    ]
    if windows > 1:
        handles.append(Line2D([], [], color=LIGHT, lw=0.8, label="a window ends, the next begins"))
    if visible:
        handles.append(Patch(color=_SHOWN, label="time that is shown above"))
    found.figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=4 if len(systems) > _NARROW else 2,
    )


def _math(long_name: str) -> str:
    return long_name.replace(" ", r"\,")
