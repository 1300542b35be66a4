"""Observations in the plane: data and fitted model, and single systems, by sensor."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import xarray as xr

from popinv.charts.description import Axis, Cloud, Grid, Panel, Parts, Sheet
from popinv.charts.style import LIGHT, axis_label
from popinv.figures.arrangement import Arrangement

# With a larger ratio of its sides, a map of equal scales would be a strip.
_ELONGATED = 4.0


def draw_maps(
    data: xr.DataArray, layout: Arrangement, means: np.ndarray, deviations: np.ndarray
) -> Sheet:
    """Return mean and standard deviation of data and model, and their difference, by sensor.

    Parameters
    ----------
    data : DataArray of shape (systems, d_y)
        NaN if an observation is missing.
    layout : Arrangement
        A layout with a map.
    means, deviations : ndarray of shape (B, d_y)
        Mean and standard deviation of each observation, of B data sets of the fitted model.
    """
    values, scale = data.values, axis_label(data.attrs["long_name"], data.attrs["units"])
    rows = (
        ("mean", np.nanmean(values, axis=0), means),
        ("standard deviation", np.nanstd(values, axis=0), deviations),
    )
    parts = []
    for number, (statistic, own, theirs) in enumerate(rows):
        # A difference is compared with the spread of the statistic over data sets of the model.
        both, error = [own, theirs.mean(axis=0)], theirs.std(axis=0)
        ends = float(np.min(both)), float(np.max(both))
        last = number == len(rows) - 1
        maps = [
            map_panel(
                layout,
                Cloud([], [], size=8.4, values=value, least=ends[0], largest=ends[1]),
                f"{statistic.capitalize()}, {whose}",
                left=whose == "data",
                low=last,
            )
            for value, whose in zip(both, ("data", "model"), strict=True)
        ]
        difference = (both[0] - both[1]) / error
        largest = max(3.0, float(np.abs(difference).max()))
        dots = Cloud(
            [],
            [],
            size=8.4,
            values=difference,
            least=-largest,
            largest=largest,
            colours="diverging",
            edge=LIGHT,
        )
        apart = map_panel(layout, dots, "Data minus model", left=False, low=last)
        pair = Grid(maps, 2, share_x=True, share_y=True, scale=scale)
        parts.append(Parts([pair, Grid([apart], scale="standard errors")], shares=(2, 1.1)))
    body = Parts(parts, down=True)
    return Sheet("Observations and the fitted model, by sensor", 11, 7.5, body)


def map_panel(
    layout: Arrangement,
    dots: Cloud,
    title: str,
    left: bool,
    low: bool,
    title_size: float | None = None,
) -> Panel:
    """Return dots at the places of the sensors.

    Parameters
    ----------
    dots : Cloud
        Without places.
    left, low : bool
        Whether the panel is at the edge of the sheet, where axes are labelled.
    """
    if layout.map is None:
        raise ValueError("these observations have no places in the plane")
    x, y = layout.map.T
    width, height = np.ptp(layout.map, axis=0)
    across, up = layout.map_labels
    return Panel(
        Axis(across if low else ""),
        Axis(up if left else ""),
        [replace(dots, x=x, y=y)],
        title,
        title_size,
        equal=bool(1 / _ELONGATED < width / max(height, 1e-300) < _ELONGATED),
    )
