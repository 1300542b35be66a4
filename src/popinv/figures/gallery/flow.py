"""Porous media: the permeability, and the pressure in it with what the sensors read."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D

from popinv.figures.gallery.columns import Systems, columns, filled_contours, span_of
from popinv.figures.style import DATA, LIGHT, SEQUENTIAL, SYSTEMS

__all__ = ["draw_flow"]

_PRESSURE = "viridis"


def draw_flow(systems: Systems) -> Figure:
    """Draw samples in one dimension as curves, in two as maps.

    The states hold ``log_permeability`` and ``pressure`` along x, or x and y.
    """
    return _maps(systems) if "y" in systems.states.dims else _lines(systems)


def _lines(systems: Systems) -> Figure:
    found = columns(systems, (1.5, 2.3))
    x = systems.states["x"].values
    field, pressure = (systems.states[name].values for name in ("log_permeability", "pressure"))
    sensors = systems.observations["observation_x"].values
    limits, heights = span_of(field, margin=0.12), span_of(pressure, systems.y)
    for i, (top, bottom) in enumerate(zip(*found.rows, strict=True)):
        _filled_below(top, x, field[i], limits)
        top.plot(x, field[i], color=DATA, lw=1.2)
        top.tick_params(labelbottom=False)
        top.grid(False)
        top.set(xlim=(0, 1), ylim=limits, xticks=(0, 0.5, 1))
        bottom.plot(x, pressure[i], color=SYSTEMS[i], lw=2)
        bottom.plot(sensors, systems.y[i], "o", color=DATA, ms=3, mew=0)
        bottom.set(xlim=(0, 1), ylim=heights, xlabel="x", xticks=(0, 0.5, 1))
    found.rows[0][0].set_ylabel("log-permeability")
    found.rows[1][0].set_ylabel(systems.quantity)
    found.figure.legend(
        handles=[
            Line2D([], [], color=LIGHT, lw=2, label="pressure in the sample"),
            Line2D([], [], color=DATA, marker="o", ms=4, ls="", label="what the sensors read"),
        ],
        loc="outside lower center",
        ncols=2,
    )
    return found.figure


def _filled_below(
    ax: Axes, x: np.ndarray, values: np.ndarray, limits: tuple[float, float]
) -> AxesImage:
    """Colour the area below a curve, at each x by the curve's height there."""
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


def _maps(systems: Systems) -> Figure:
    found = columns(systems, (2.1, 2.1))
    field, pressure = (systems.states[name].values for name in ("log_permeability", "pressure"))
    where = [systems.observations[f"observation_{axis}"].values for axis in "xy"]
    bounds = (0.0, max(float(np.nanmax(pressure)), float(np.nanmax(systems.y))))
    ground_bounds = (float(field.min()), float(field.max()))
    for i, (top, bottom) in enumerate(zip(*found.rows, strict=True)):
        ground = _map(top, field[i], SEQUENTIAL, ground_bounds)
        top.plot(*where, "o", ms=3, mfc="none", mec="white", mew=0.8)
        top.tick_params(labelbottom=False)
        flow = _map(bottom, pressure[i], _PRESSURE, bounds)
        # Where a reading errs, its dot stands out from the map.
        bottom.scatter(
            *where, c=systems.y[i], cmap=_PRESSURE, vmin=bounds[0], vmax=bounds[1], s=26,
            ec="white", lw=0.7,
        )  # fmt: skip
        bottom.set_xlabel("x")
    for row in found.rows:
        row[0].set_ylabel("y")
    found.figure.colorbar(ground, ax=list(found.rows[0]), label="log-permeability", pad=0.01)
    found.figure.colorbar(flow, ax=list(found.rows[1]), label=systems.quantity, pad=0.01)
    found.figure.legend(
        handles=[
            Line2D([], [], ls="", marker="o", ms=5, mfc=LIGHT, mec=DATA,
                   label="sensor, filled below with the colour of what it read"),
        ],
        loc="outside lower center",
    )  # fmt: skip
    return found.figure


def _map(ax: Axes, values: np.ndarray, colours: str, bounds: tuple[float, float]) -> AxesImage:
    ax.grid(False)
    image = filled_contours(ax, values.T[::-1], colours, bounds, (0, 1, 0, 1))
    ax.set(xticks=(0, 0.5, 1), yticks=(0, 0.5, 1), aspect="equal")
    return image
