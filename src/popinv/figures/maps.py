"""Observations in the plane: data and fitted model, by sensor."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from popinv.charts.style import DIVERGING, LIGHT, SEQUENTIAL, axis_label, new_figure
from popinv.figures.arrangement import Arrangement

# With a larger ratio of its sides, a map of equal scales would be a strip.
_ELONGATED = 4.0


def draw_maps(
    data: xr.DataArray, layout: Arrangement, means: np.ndarray, deviations: np.ndarray
) -> Figure:
    """Draw mean and standard deviation of data and model, and their difference, by sensor.

    Parameters
    ----------
    data : DataArray of shape (systems, d_y)
        NaN if an observation is missing.
    layout : Arrangement
        A layout with a map.
    means, deviations : ndarray of shape (B, d_y)
        Mean and standard deviation of each observation, of B data sets of the fitted model.
    """
    if layout.map is None:
        raise ValueError("these observations have no places in the plane")
    values, name = data.values, data.attrs["long_name"]
    x, y = layout.map.T
    figure = new_figure("Observations and the fitted model, by sensor", 11, 7.5)
    grid = figure.subplots(2, 3, sharex=True, sharey=True)
    rows = (
        ("mean", np.nanmean(values, axis=0), means),
        ("standard deviation", np.nanstd(values, axis=0), deviations),
    )
    for axes, (statistic, own, theirs) in zip(grid, rows, strict=True):
        # A difference is compared with the spread of the statistic over data sets of the model.
        both, error = [own, theirs.mean(axis=0)], theirs.std(axis=0)
        low, high = np.min(both), np.max(both)
        for ax, value, whose in zip(axes, both, ("data", "model"), strict=False):
            dots = ax.scatter(x, y, c=value, vmin=low, vmax=high, cmap=SEQUENTIAL, s=70)
            ax.set_title(f"{statistic.capitalize()}, {whose}")
        figure.colorbar(dots, ax=list(axes[:2]), label=axis_label(name, data.attrs["units"]))
        difference = (both[0] - both[1]) / error
        largest = max(3.0, float(np.abs(difference).max()))
        dots = axes[2].scatter(
            x, y, c=difference, vmin=-largest, vmax=largest, cmap=DIVERGING, s=70, ec=LIGHT
        )
        axes[2].set_title("Data minus model")
        figure.colorbar(dots, ax=axes[2], label="standard errors")
    frame_maps(grid, layout)
    return figure


def frame_maps(grid: np.ndarray, layout: Arrangement) -> None:
    """Label the outer axes of a grid of maps, and give x and y the same scale if it fits."""
    if layout.map is None:
        raise ValueError("these observations have no places in the plane")
    width, height = np.ptp(layout.map, axis=0)
    equal = 1 / _ELONGATED < width / max(height, 1e-300) < _ELONGATED
    axes: Axes
    for axes in grid.flat:
        axes.set_aspect("equal" if equal else "auto")
    for axes in grid[-1]:
        axes.set_xlabel(layout.map_labels[0])
    for axes in grid[:, 0]:
        axes.set_ylabel(layout.map_labels[1])
