"""Elastic bodies in motion, and the readings of the sensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D

from popinv.charts.style import DATA, DIVERGING, LIGHT, SEQUENTIAL, evenly
from popinv.figures.arrangement import ObservedCurve
from popinv.figures.gallery.columns import Columns, DrawnSystems, columns, filled_contours, span_of

_SENSORS = 3
_SHAPES = 6
# The deflection is drawn at this share of the length, whatever its size.
_DEFLECTION = 0.45
# Share of the observed time from which the shapes are taken. Two periods are usually observed, so
# this is a swing to the other side.
_SWING = 0.25
# The light end of the colour map is not visible on white.
_DARK = 0.8


def draw(systems: DrawnSystems) -> Figure:
    """Draw bars as displacement over place and time, cantilevers as shapes, and the readings below.

    The states hold ``displacement``, or ``displacement_x`` and ``displacement_y``.
    """
    bar = "displacement" in systems.states
    random = "log_stiffness" in systems.states
    grid = columns(systems, (*((0.5,) if random else ()), 2.4 if bar else 2.8, 1.9))
    if random:
        _stiffness(systems, grid)
    sensors = _sensors(systems)
    colours = matplotlib.colormaps["plasma"](np.linspace(0, 0.7, len(sensors)))
    places = [_place(systems, panel) for panel in sensors]
    if bar:
        _waves(systems, grid, places, colours)
    else:
        _shapes(systems, grid, places, colours)
    moved = systems.states["displacement" if bar else "displacement_y"]
    _readings(systems, grid.rows[-1], moved, sensors, places, colours)
    handles = [
        Line2D([], [], color=c, label=f"sensor at {panel.title}")
        for panel, c in zip(sensors, colours, strict=True)
    ]
    handles.append(Line2D([], [], color=LIGHT, marker="o", ms=4, ls="", label="its readings"))
    grid.figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    return grid.figure


def _axes(systems: DrawnSystems) -> list[str]:
    return [axis for axis in "xy" if axis in systems.states.dims]


def _sensors(systems: DrawnSystems) -> list[ObservedCurve]:
    """Return the readings of some of the sensors over time."""
    observations, axes = systems.observations, _axes(systems)
    where = np.column_stack([observations[f"observation_{axis}"].values for axis in axes])
    time = observations["observation_t"].values
    places = list(dict.fromkeys(map(tuple, where.tolist())))
    panels = []
    for i in evenly(len(places), _SENSORS):
        rows = np.flatnonzero(np.all(where == places[i], axis=1))
        title = ", ".join(f"{a} = {v:.3g}" for a, v in zip(axes, places[i], strict=True))
        panels.append(ObservedCurve(title, rows, time[rows]))
    return panels


def _place(systems: DrawnSystems, panel: ObservedCurve) -> dict[str, float]:
    first = systems.observations.isel(observation=panel.rows[0])
    return {axis: float(first[f"observation_{axis}"]) for axis in _axes(systems)}


def _stiffness(systems: DrawnSystems, grid: Columns) -> None:
    """Draw the random stiffness as a strip, or as a map in the plane."""
    field = systems.states["log_stiffness"]
    height = float(field["y"].max()) if "y" in field.dims else 1.0
    low, high = float(field.min()), float(field.max())
    for i, ax in enumerate(grid.rows[0]):
        values = np.atleast_2d(field.values[i].T)[::-1]
        image = filled_contours(ax, values, SEQUENTIAL, (low, high), (0, 1, 0, height))
        ax.grid(False)
        ax.set(yticks=())
        ax.tick_params(labelbottom=False)
    label = field.attrs["long_name"].replace(" of the ", "\nof the ")
    grid.figure.colorbar(image, ax=list(grid.rows[0]), label=label, pad=0.01)


def _waves(
    systems: DrawnSystems, grid: Columns, places: Sequence[dict[str, float]], colours: Any
) -> None:
    row = grid.rows[-2]
    moved, time = systems.states["displacement"].values, systems.states["time"].values
    largest = float(np.abs(moved).max())
    image: AxesImage
    for i, ax in enumerate(row):
        extent = (0, 1, time[-1], 0)
        image = filled_contours(ax, moved[i], DIVERGING, (-largest, largest), extent)
        for place, colour in zip(places, colours, strict=True):
            ax.axvline(place["x"], color=colour, lw=1.4, ls=(0, (4, 3)))
        ax.grid(False)
        ax.set_xlabel("x, place along the bar")
    row[0].set_ylabel("t, time (downwards)")
    grid.figure.colorbar(image, ax=list(row), label=systems.quantity, pad=0.01)


def _shapes(
    systems: DrawnSystems, grid: Columns, places: Sequence[dict[str, float]], colours: Any
) -> None:
    row, states = grid.rows[-2], systems.states
    time = states["time"].values
    frames = np.linspace(0, np.searchsorted(time, _SWING * time[-1]), _SHAPES).astype(int)
    scale = _DEFLECTION / float(np.abs(states["displacement_y"].values[:, frames]).max())
    shades = matplotlib.colormaps[SEQUENTIAL]
    of_time = Normalize(0, time[frames[-1]] / _DARK)
    height = float(states["y"].max())
    for i, ax in enumerate(row):
        for frame in frames:
            at = states.isel(system=i, time=frame)
            outline = _outline(at, scale)
            colour = shades(of_time(time[frame]))
            ax.fill(*outline, fc=(*colour[:3], 0.25), ec=colour, lw=1.4)
            for place, dot in zip(places, colours, strict=True):
                ax.plot(*_moved(at, place, scale), "o", ms=4.5, mfc=dot, mec="white", mew=0.6)
        # The clamp.
        ax.fill_between([-0.06, 0], -0.5 * height, 1.5 * height, color=LIGHT, lw=0)
        middle = height / 2
        ax.set(xlim=(-0.06, 1.12), ylim=(middle - 0.58, middle + 0.58), xlabel="x", yticks=())
        ax.set_aspect("equal")
        ax.grid(False)
        ax.spines["left"].set_visible(False)
    row[0].set_ylabel(f"shape, with {scale:.2g} times\nthe displacement")
    bar = grid.figure.colorbar(
        ScalarMappable(of_time, shades),
        ax=list(row),
        label="t, time of the shape",
        pad=0.01,
        shrink=0.75,
    )
    bar.ax.set_ylim(0, time[frames[-1]])


def _outline(at: xr.Dataset, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the boundary of a deformed body as a closed curve."""
    x = at["x"].values[:, None] + scale * at["displacement_x"].values
    y = at["y"].values[None, :] + scale * at["displacement_y"].values

    def around(grid: np.ndarray) -> np.ndarray:
        return np.concatenate([grid[:, 0], grid[-1, :], grid[::-1, -1], grid[0, ::-1]])

    return around(x), around(y)


def _moved(at: xr.Dataset, place: dict[str, float], scale: float) -> tuple[float, float]:
    here = at.interp(place)
    return (
        place["x"] + scale * float(here["displacement_x"]),
        place["y"] + scale * float(here["displacement_y"]),
    )


def _readings(
    systems: DrawnSystems,
    row: Sequence[Axes],
    moved: xr.DataArray,
    sensors: Sequence[ObservedCurve],
    places: Sequence[dict[str, float]],
    colours: Any,
) -> None:
    time = systems.states["time"].values
    curves = [moved.interp(place).values for place in places]
    limits = span_of(*curves, systems.y)
    for i, ax in enumerate(row):
        ax.axhline(0, color=LIGHT, lw=0.8)
        for panel, curve, colour in zip(sensors, curves, colours, strict=True):
            ax.plot(time, curve[i], color=colour, lw=1.5)
            ax.plot(panel.x, systems.y[i, panel.rows], "o", color=colour, ms=4, mec=DATA, mew=0.4)
        ax.set(xlim=(0, time[-1]), ylim=limits, xlabel="t, time")
    row[0].set_ylabel(systems.quantity.replace("transverse ", "transverse\n"))
