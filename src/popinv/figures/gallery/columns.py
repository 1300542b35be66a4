"""Common layout of pictures of systems: a column for each system, and a row for each view."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from popinv.charts.style import axis_label, new_figure, readable

# More parameters are not written above a column.
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
class Columns:
    """A figure, and its panels by row: ``rows[r][i]`` shows system i."""

    figure: Figure
    rows: Sequence[Sequence[Axes]]


def columns(systems: DrawnSystems, heights: Sequence[float]) -> Columns:
    """Return panels for each system, with the system's name above.

    Parameters
    ----------
    heights : sequence of float
        Heights of the rows, in inches.
    """
    count = len(systems)
    figure = new_figure(systems.title, 1.2 + _WIDTH * count, 1.1 + sum(heights))
    grid = figure.subplots(len(heights), count, squeeze=False, height_ratios=heights)
    for i, ax in enumerate(grid[0]):
        ax.set_title(systems.name(i), fontsize=10)
    for row in grid:
        for ax in row[1:]:
            ax.tick_params(labelleft=False)
    return Columns(figure, [list(row) for row in grid])


def filled_contours(
    ax: Axes, values: np.ndarray, colours: str, bounds: tuple[float, float], extent: Sequence[float]
) -> AxesImage:
    """Draw values (rows, columns) as a map in colour steps, the first row at the end of extent.

    Steps show the lines of equal value and make small files.
    """
    return ax.imshow(
        values,
        cmap=matplotlib.colormaps[colours].resampled(_STEPS),
        vmin=bounds[0],
        vmax=bounds[1],
        extent=(extent[0], extent[1], extent[2], extent[3]),
        aspect="auto",
        interpolation="bilinear",
        interpolation_stage="data",
    )


def span_of(*values: np.ndarray, margin: float = 0.05) -> tuple[float, float]:
    """Return limits that contain all values, with a margin as a share of their range."""
    low = min(float(np.nanmin(v)) for v in values)
    high = max(float(np.nanmax(v)) for v in values)
    room = margin * (high - low)
    return low - room, high + room
