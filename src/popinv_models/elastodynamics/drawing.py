"""Elastic bodies in motion, and the readings of the sensors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from popinv.charts.description import (
    Axis,
    Band,
    Line,
    Mark,
    Panel,
    Points,
    Reference,
    Shape,
    Sheet,
)
from popinv.charts.style import DATA, LIGHT, evenly, shades
from popinv.figures.arrangement import ObservedCurve
from popinv.figures.gallery.systems import (
    DrawnSystems,
    PanelRow,
    in_columns,
    span_of,
    steps_of_colour,
)

_SENSORS = 3
_SHAPES = 6
# The deflection is drawn at this share of the length, whatever its size.
_DEFLECTION = 0.45
# Share of the observed time from which the shapes are taken. Two periods are usually observed, so
# this is a swing to the other side.
_SWING = 0.25


def draw(systems: DrawnSystems) -> Sheet:
    """Return bars over place and time, cantilevers as shapes, and the readings below.

    The states hold ``displacement``, or ``displacement_x`` and ``displacement_y``.
    """
    bar = "displacement" in systems.states
    sensors = _sensors(systems)
    colours = shades("warm", np.linspace(0, 0.7, len(sensors)))
    places = [_place(systems, panel) for panel in sensors]
    moved = systems.states["displacement" if bar else "displacement_y"]
    rows = [
        *([_stiffness(systems)] if "log_stiffness" in systems.states else []),
        (_waves if bar else _shapes)(systems, places, colours),
        _readings(systems, moved, sensors, places, colours),
    ]
    keys: list[Mark] = [
        Line([], [], colour=colour, label=f"sensor at {panel.title}")
        for panel, colour in zip(sensors, colours, strict=True)
    ]
    keys.append(Points([], [], size=4, colour=LIGHT, label="its readings"))
    return in_columns(systems, rows, len(keys), keys)


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


def _stiffness(systems: DrawnSystems) -> PanelRow:
    """Return the random stiffness as a strip, or as a map in the plane."""
    field = systems.states["log_stiffness"]
    height = float(field["y"].max()) if "y" in field.dims else 1.0
    bounds = float(field.min()), float(field.max())
    extent = (0.0, 1.0, 0.0, height)
    x, y = Axis(labels=False), Axis(places=[])
    panels = []
    for each in field.values:
        rows = np.atleast_2d(each.T)
        strip = steps_of_colour(rows, "sequential", bounds, extent, "log-stiffness")
        panels.append(Panel(x, y, [strip]))
    return PanelRow(panels, 0.5, field.attrs["long_name"].replace(" of the ", "\nof the "))


def _waves(
    systems: DrawnSystems, places: Sequence[dict[str, float]], colours: Sequence[str]
) -> PanelRow:
    moved, time = systems.states["displacement"].values, float(systems.states["time"].values[-1])
    largest = float(np.abs(moved).max())
    bounds, extent = (-largest, largest), (0.0, 1.0, time, 0.0)
    lines = [
        Reference(place["x"], upright=True, dash="dash", colour=colour)
        for place, colour in zip(places, colours, strict=True)
    ]
    x, y = Axis("x, place along the bar"), Axis("t, time (downwards)")
    maps = [steps_of_colour(each, "diverging", bounds, extent, "displacement") for each in moved]
    return PanelRow([Panel(x, y, [each, *lines]) for each in maps], 2.4, systems.quantity)


def _shapes(
    systems: DrawnSystems, places: Sequence[dict[str, float]], colours: Sequence[str]
) -> PanelRow:
    states = systems.states
    time = states["time"].values
    frames = np.linspace(0, np.searchsorted(time, _SWING * time[-1]), _SHAPES).astype(int)
    scale = _DEFLECTION / float(np.abs(states["displacement_y"].values[:, frames]).max())
    height = float(states["y"].max())
    middle = height / 2
    x = Axis("x", limits=(-0.06, 1.12), grid=False)
    y = Axis(
        f"shape, with {scale:.2g} times\nthe displacement",
        limits=(middle - 0.58, middle + 0.58),
        bare=True,
        grid=False,
    )
    panels = []
    for i in range(len(systems)):
        marks: list[Mark] = []
        for frame in frames:
            at = states.isel(system=i, time=frame)
            now, last = float(time[frame]), float(time[frames[-1]])
            marks.append(
                Shape(*_outline(at, scale), value=now, largest=last, colours="time", label="shape")
            )
            for place, colour in zip(places, colours, strict=True):
                told = "a sensor on a shape"
                dot = _moved(at, place, scale)
                marks.append(Points(*dot, size=4.5, colour=colour, edge="#FFFFFF", label=told))
        ends = -0.5 * height, 1.5 * height
        marks.append(Band([-0.06, 0], *ends, colour=LIGHT, label="clamp"))
        panels.append(Panel(x, y, marks, equal=True))
    return PanelRow(panels, 2.8, "t, time of the shape")


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
    moved: xr.DataArray,
    sensors: Sequence[ObservedCurve],
    places: Sequence[dict[str, float]],
    colours: Sequence[str],
) -> PanelRow:
    time = systems.states["time"].values
    curves = [moved.interp(place).values for place in places]
    x = Axis("t, time", limits=(0, float(time[-1])))
    label = systems.quantity.replace("transverse ", "transverse\n")
    y = Axis(label, limits=span_of(*curves, systems.y))
    panels = []
    for i in range(len(systems)):
        marks: list[Mark] = [Reference(0, width=0.8, colour=LIGHT)]
        for sensor, curve, colour in zip(sensors, curves, colours, strict=True):
            name, read = f"sensor at {sensor.title}", systems.y[i, sensor.rows]
            marks.append(Line(time, curve[i], width=1.5, colour=colour, label=name))
            told = f"readings at {sensor.title}"
            marks.append(Points(sensor.x, read, size=4, colour=colour, edge=DATA, label=told))
        panels.append(Panel(x, y, marks))
    return PanelRow(panels, 1.9)
