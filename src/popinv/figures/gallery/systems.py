"""Pictures of a few systems: a column for each, with its states and observations in rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
import xarray as xr

from popinv.charts.description import Colours, Grid, HeatMap, Mark, Panel, Sheet
from popinv.charts.style import axis_label, readable
from popinv.forward.registry import PACKAGES

# Largest number of parameters that are written above a column.
_NAMED = 4
_WIDTH = 2.2
_STEPS = 24


@dataclass(frozen=True)
class DrawnSystems:
    """A few systems, with their states and observations.

    Parameters
    ----------
    states : Dataset
        From `popinv.forward.states.states`.
    observations : Dataset
        ``y`` (system, observation) of the same systems, and the coordinates of the observations.
    z : DataArray (system, parameter)
        Their parameters.
    title : str
        Title with the origin of the systems.
    """

    states: xr.Dataset
    observations: xr.Dataset
    z: xr.DataArray
    title: str

    def __len__(self) -> int:
        return self.states.sizes["system"]

    @property
    def y(self) -> np.ndarray:
        """The observations, NaN if missing, shape (n, d_y)."""
        values: np.ndarray = self.observations["y"].values
        return values

    @property
    def quantity(self) -> str:
        """Label of the observations, with their unit."""
        attrs = self.observations["y"].attrs
        return axis_label(attrs["long_name"].removeprefix("observed "), attrs["units"])

    def name(self, i: int) -> str:
        """Return the text above the column of a system: its parameters, if they are few."""
        names = [str(name) for name in self.z["parameter"].values]
        if len(names) > _NAMED:
            return f"System {i + 1}"
        values = zip(names, self.z.values[i], strict=True)
        return "\n".join(f"{readable(name)} {value:.2g}" for name, value in values)


@dataclass(frozen=True)
class PanelRow:
    """One view of each system, with its height in inches, and what its colours mean."""

    panels: Sequence[Panel]
    height: float
    scale: str | None = None


def in_columns(
    systems: DrawnSystems, rows: Sequence[PanelRow], legend: int, keys: list[Mark]
) -> Sheet:
    """Return a column for each system, with the system's name above, and a row for each view.

    ``keys`` are the marks of the legend below, by default all marks with a name. ``legend`` is the
    number of its columns.
    """
    count = len(systems)
    panels = []
    for number, row in enumerate(rows):
        for i, given in enumerate(row.panels):
            y = given.y if i == 0 else replace(given.y, label="", labels=False)
            panel = replace(given, y=y)
            if number == 0:
                panel = replace(panel, title=systems.name(i), title_size=10.0)
            panels.append(panel)
    heights, scales = [row.height for row in rows], [row.scale for row in rows]
    grid = Grid(panels, count, heights=heights, legend=legend, keys=keys, scale=scales)
    return Sheet(systems.title, 1.2 + _WIDTH * count, 1.1 + sum(heights), grid)


def steps_of_colour(
    values: np.ndarray,
    colours: Colours,
    bounds: tuple[float, float],
    extent: tuple[float, float, float, float],
    label: str,
) -> HeatMap:
    """Return values (rows, columns) as a map in colour steps.

    Steps show the lines of equal value and make small files.
    """
    look: dict[str, Any] = {"colours": colours, "label": label}
    return HeatMap(values, extent, *bounds, square=False, smooth=True, steps=_STEPS, **look)


def span_of(*values: np.ndarray, margin: float = 0.05) -> tuple[float, float]:
    """Return limits that contain all values, with a margin as a share of their range."""
    low = min(float(np.nanmin(v)) for v in values)
    high = max(float(np.nanmax(v)) for v in values)
    room = margin * (high - low)
    return low - room, high + room


def draw_systems(
    states: xr.Dataset, observations: xr.Dataset, z: xr.DataArray, title: str
) -> Sheet:
    """Return a picture of whole states with the sensors.

    It is made by ``draw`` of the module ``drawing`` in the package of the states' kind.

    Parameters
    ----------
    states : Dataset
        From `popinv.forward.states.states`, with its attribute ``kind``.
    observations : Dataset
        ``y`` (system, observation) of the same systems.
    z : DataArray (system, parameter)
    title : str
        Title with the origin of the systems.

    Raises
    ------
    ValueError
        If there is no picture for this kind of states.
    """
    kind = states.attrs["kind"]
    module = f"{PACKAGES[kind]}.drawing" if kind in PACKAGES else None
    if module is None or find_spec(module) is None:
        raise ValueError(f"there is no picture for states of kind '{kind}': no module 'drawing'")
    sheet: Sheet = import_module(module).draw(DrawnSystems(states, observations, z, title))
    return sheet
