"""Stochastic gradient descent near critical points: theory beside simulation, and slices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr

from popinv.charts.description import (
    Axis,
    Grid,
    Legend,
    Line,
    Look,
    Mark,
    Panel,
    Points,
    Reference,
    Sheet,
)
from popinv.charts.style import FAILURE, LIGHT, MODEL, TRUTH, readable
from popinv_papers.kit.claims import measured


def draw_comparisons(result: xr.Dataset) -> Sheet:
    """Return every simulated number over its theory, with its 95 % interval over batches."""
    # Where theory is zero there is no ratio.
    result = result.sel(comparison=result["theory"] != 0)
    names = [readable(str(name)) for name in result["comparison"].values]
    theory, simulated = result["theory"].values, result["simulated"].values
    found = [measured(row / value) for row, value in zip(simulated, theory, strict=True)]
    ratio, low, high = ([getattr(one, n) for one in found] for n in ("mean", "low", "high"))
    place = np.arange(len(names))
    look: Look = {"label": "simulated, 95 % over batches", "colour": MODEL}
    marks: list[Mark] = [
        Reference(1, upright=True, dash="dash", colour=TRUTH, label="theory"),
        Points(ratio, place, size=5, low=low, high=high, across=True, **look),
    ]
    y = Axis(places=place, names=names, limits=(len(names) - 0.5, -0.5))
    panel = Panel(Axis("simulated / theory"), y, marks, legend=Legend())
    return Sheet("Simulated paths against theory", 9, 1.6 + 0.24 * len(names), Grid([panel]))


def draw_slices(slices: Mapping[str, Any]) -> Sheet:
    """Return height and mean slope along each line of :mod:`.slices`, and its critical points."""
    titles = {"start": "From the answer (0) to the farthest start (1)"}
    above, below = [], []
    for name, profile in slices.items():
        places, height, slope = profile.places, profile.height, profile.slope
        points = [
            Reference(point.place, upright=True, dash="dash", width=1.2, colour=colour, label=kind)
            for point in profile.points
            for colour, kind in [(FAILURE, "maximum") if point.is_maximum else (TRUTH, "minimum")]
        ]
        of_height, of_slope = Axis("loss above its lowest"), Axis("slope")
        # Loss and slope may grow by orders of magnitude towards a start.
        sizes = np.abs(slope)
        small = float(np.quantile(sizes, 0.25))
        if small > 0 and sizes.max() > 100 * small:
            of_slope = replace(of_slope, scale="symlog", threshold=small)
            low = max(float(np.quantile(height, 0.25)), 1e-12)
            of_height = replace(of_height, scale="symlog", threshold=low)
        title = titles.get(name, f"From the answer (0) to {readable(name)} (1)")
        curve = Line(places, height, colour=MODEL, label="loss above its lowest")
        above.append(Panel(Axis(), of_height, [curve, *points], title=title))
        ends = slope - 2 * profile.error, slope + 2 * profile.error
        look: Look = {"label": "mean slope, 2 standard errors", "colour": MODEL}
        marks: list[Mark] = [
            Reference(0, width=1, colour=LIGHT),
            Points(places, slope, size=4, low=ends[0], high=ends[1], joined="solid", **look),
            *points,
        ]
        below.append(Panel(Axis("place on the line"), of_slope, marks, legend=Legend()))
    grid = Grid([*above, *below], len(slices), share_x="col")
    return Sheet("The descent's loss along lines", 5.5 * len(slices), 6, grid)
