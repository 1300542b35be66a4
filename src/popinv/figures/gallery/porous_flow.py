"""Porous media: the permeability, the pressure, and the readings of the sensors."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D

from popinv.charts.style import DATA, LIGHT, SEQUENTIAL, SYSTEMS
from popinv.figures.gallery.columns import DrawnSystems, columns, filled_contours, span_of

_PRESSURE = "viridis"


def draw(systems: DrawnSystems) -> Figure:
    """Draw samples in one dimension as curves, and in two as maps.

    The states hold ``log_permeability`` and ``pressure`` along x, or x and y.
    """
    return _maps(systems) if "y" in systems.states.dims else _lines(systems)


def _lines(systems: DrawnSystems) -> Figure:
    grid = columns(systems, (1.5, 2.3))
    x = systems.states["x"].values
    field, pressure = (systems.states[name].values for name in ("log_permeability", "pressure"))
    (sensors,) = _places(systems, "x")
    limits, heights = span_of(field, margin=0.12), span_of(pressure, systems.y)
    for i, (top, bottom) in enumerate(zip(*grid.rows, strict=True)):
        _filled_below(top, x, field[i], limits)
        top.plot(x, field[i], color=DATA, lw=1.2)
        top.tick_params(labelbottom=False)
        top.grid(False)
        top.set(xlim=(0, 1), ylim=limits, xticks=(0, 0.5, 1))
        bottom.plot(x, pressure[i], color=SYSTEMS[i], lw=2)
        bottom.plot(sensors[i], systems.y[i], "o", color=DATA, ms=3, mew=0)
        bottom.set(xlim=(0, 1), ylim=heights, xlabel="x", xticks=(0, 0.5, 1))
    grid.rows[0][0].set_ylabel("log-permeability")
    grid.rows[1][0].set_ylabel(systems.quantity)
    grid.figure.legend(
        handles=[
            Line2D([], [], color=LIGHT, lw=2, label="pressure in the sample"),
            Line2D([], [], color=DATA, marker="o", ms=4, ls="", label="readings of the sensors"),
        ],
        loc="outside lower center",
        ncols=2,
    )
    return grid.figure


def _places(systems: DrawnSystems, axes: str) -> list[np.ndarray]:
    """Return the coordinates of each system's sensors, (system, sensor) for each axis."""
    seen = systems.observations
    shape = systems.y.shape
    if f"observation_{axes[0]}" in seen.coords:
        return [np.broadcast_to(seen[f"observation_{axis}"].values, shape) for axis in axes]
    names = [[f"{axis}_{j}" for j in range(1, shape[1] + 1)] for axis in axes]
    return [seen["design"].sel(design_name=of_axis).values for of_axis in names]


def _filled_below(
    ax: Axes, x: np.ndarray, values: np.ndarray, limits: tuple[float, float]
) -> AxesImage:
    """Colour the area below a curve by the curve's height at each x."""
    low, high = limits
    image = ax.imshow(
        values[None, :],
        cmap=SEQUENTIAL,
        vmin=low,
        vmax=high,
        extent=(x[0], x[-1], low, high),
        aspect="auto",
        origin="lower",
        interpolation="bilinear",
    )
    (area,) = ax.fill(
        np.concatenate([[x[0]], x, [x[-1]]]), np.concatenate([[low], values, [low]]), fc="none"
    )
    image.set_clip_path(area)
    return image


def _maps(systems: DrawnSystems) -> Figure:
    grid = columns(systems, (2.1, 2.1))
    field, pressure = (systems.states[name].values for name in ("log_permeability", "pressure"))
    where = _places(systems, "xy")
    bounds = (0.0, max(float(np.nanmax(pressure)), float(np.nanmax(systems.y))))
    ground_bounds = (float(field.min()), float(field.max()))
    for i, (top, bottom) in enumerate(zip(*grid.rows, strict=True)):
        ground = _map(top, field[i], SEQUENTIAL, ground_bounds)
        top.plot(where[0][i], where[1][i], "o", ms=3, mfc="none", mec="white", mew=0.8)
        top.tick_params(labelbottom=False)
        flow = _map(bottom, pressure[i], _PRESSURE, bounds)
        # The dot of a reading with an error contrasts with the map.
        bottom.scatter(
            where[0][i],
            where[1][i],
            c=systems.y[i],
            cmap=_PRESSURE,
            vmin=bounds[0],
            vmax=bounds[1],
            s=26,
            ec="white",
            lw=0.7,
        )
        bottom.set_xlabel("x")
    for row in grid.rows:
        row[0].set_ylabel("y")
    grid.figure.colorbar(ground, ax=list(grid.rows[0]), label="log-permeability", pad=0.01)
    grid.figure.colorbar(flow, ax=list(grid.rows[1]), label=systems.quantity, pad=0.01)
    grid.figure.legend(
        handles=[
            Line2D(
                [],
                [],
                ls="",
                marker="o",
                ms=5,
                mfc=LIGHT,
                mec=DATA,
                label="sensor, filled below with the colour of its reading",
            ),
        ],
        loc="outside lower center",
    )
    return grid.figure


def _map(ax: Axes, values: np.ndarray, colours: str, bounds: tuple[float, float]) -> AxesImage:
    ax.grid(False)
    image = filled_contours(ax, values.T[::-1], colours, bounds, (0, 1, 0, 1))
    ax.set(xticks=(0, 0.5, 1), yticks=(0, 0.5, 1), aspect="equal")
    return image
