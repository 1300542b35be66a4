"""Porous media: the permeability, the pressure, and the readings of the sensors."""

from __future__ import annotations

import numpy as np

from popinv.charts.description import Axis, Bars, Cloud, Line, Panel, Points, Sheet
from popinv.charts.style import DATA, LIGHT, SYSTEMS, shades
from popinv.figures.gallery.systems import (
    DrawnSystems,
    PanelRow,
    in_columns,
    span_of,
    steps_of_colour,
)

_TICKS = (0, 0.5, 1)


def draw(systems: DrawnSystems) -> Sheet:
    """Return samples in one dimension as curves, and in two as maps.

    The states hold ``log_permeability`` and ``pressure`` along x, or x and y.
    """
    return _maps(systems) if "y" in systems.states.dims else _lines(systems)


def _lines(systems: DrawnSystems) -> Sheet:
    x = systems.states["x"].values
    field, pressure = (systems.states[name].values for name in ("log_permeability", "pressure"))
    (sensors,) = _places(systems, "x")
    low, high = span_of(field, margin=0.12)
    heights = span_of(pressure, systems.y)
    place = Axis("x", limits=(0, 1), places=_TICKS)
    ground, flow = [], []
    for i in range(len(systems)):
        # Below the curve, each place has the colour of its height.
        shade = shades("sequential", (field[i] - low) / (high - low))
        edge, width = np.full(len(x), low), 1.02 * float(x[1] - x[0])
        bars = Bars(x, edge, field[i], width, colours=shade, label="area below the curve")
        curve = Line(x, field[i], width=1.2, colour=DATA, label="log-permeability")
        ground.append(
            Panel(
                Axis(limits=(0, 1), places=_TICKS, labels=False, grid=False),
                Axis("log-permeability", limits=(low, high), grid=False),
                [bars, curve],
            )
        )
        inside = Line(x, pressure[i], width=2, colour=SYSTEMS[i], label="pressure")
        read = Points(sensors[i], systems.y[i], size=2, label="readings")
        flow.append(Panel(place, Axis(systems.quantity, limits=heights), [inside, read]))
    keys = [
        Line([], [], width=2, colour=LIGHT, label="pressure in the sample"),
        Points([], [], size=4, label="readings of the sensors"),
    ]
    return in_columns(systems, [PanelRow(ground, 1.5), PanelRow(flow, 2.3)], 2, keys)


def _places(systems: DrawnSystems, axes: str) -> list[np.ndarray]:
    """Return the coordinates of each system's sensors, (system, sensor) for each axis."""
    seen = systems.observations
    shape = systems.y.shape
    if f"observation_{axes[0]}" in seen.coords:
        return [np.broadcast_to(seen[f"observation_{axis}"].values, shape) for axis in axes]
    names = [[f"{axis}_{j}" for j in range(1, shape[1] + 1)] for axis in axes]
    return [seen["design"].sel(design_name=of_axis).values for of_axis in names]


def _maps(systems: DrawnSystems) -> Sheet:
    field, pressure = (systems.states[name].values for name in ("log_permeability", "pressure"))
    x, y = _places(systems, "xy")
    bounds = (0.0, max(float(np.nanmax(pressure)), float(np.nanmax(systems.y))))
    of_ground = (float(field.min()), float(field.max()))
    up = Axis("y", places=_TICKS)
    ground, flow = [], []
    for i in range(len(systems)):
        square = (0.0, 1.0, 0.0, 1.0)
        below = steps_of_colour(field[i].T, "sequential", of_ground, square, "log-permeability")
        rings = Points(x[i], y[i], size=3, filled=False, colour="#FFFFFF", label="sensors")
        across = Axis(places=_TICKS, labels=False)
        ground.append(Panel(across, up, [below, rings], equal=True))
        within = steps_of_colour(pressure[i].T, "flow", bounds, square, "pressure")
        # The dot of a reading with an error contrasts with the map.
        dots = Cloud(
            x[i],
            y[i],
            size=5,
            values=systems.y[i],
            least=bounds[0],
            largest=bounds[1],
            colours="flow",
            edge="#FFFFFF",
            label="readings",
        )
        flow.append(Panel(Axis("x", places=_TICKS), up, [within, dots], equal=True))
    told = "sensor, filled below with the colour of its reading"
    key = Points([], [], size=5, colour=LIGHT, edge=DATA, label=told)
    rows = [PanelRow(ground, 2.1, "log-permeability"), PanelRow(flow, 2.1, systems.quantity)]
    return in_columns(systems, rows, 1, [key])
