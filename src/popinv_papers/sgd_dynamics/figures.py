"""Stochastic gradient descent near critical points: theory beside simulation, and slices."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from popinv.charts.style import (
    FAILURE,
    LIGHT,
    MODEL,
    TRUTH,
    labels_once,
    new_figure,
    readable,
    styled,
)
from popinv_papers.kit.claims import measured


@styled
def draw_comparisons(result: xr.Dataset) -> Figure:
    """Draw every simulated number over its theory, with its 95 % interval over batches."""
    # Where theory is zero there is no ratio.
    result = result.sel(comparison=result["theory"] != 0)
    names = [readable(str(name)) for name in result["comparison"].values]
    theory, simulated = result["theory"].values, result["simulated"].values
    found = [measured(row / value) for row, value in zip(simulated, theory, strict=True)]
    ratio = np.array([each.mean for each in found])
    half = np.array([each.high - each.mean for each in found])
    figure = new_figure("Simulated paths against theory", 9, 1.6 + 0.24 * len(names))
    ax = figure.subplots()
    place = np.arange(len(names))
    ax.axvline(1, color=TRUTH, ls="--", lw=1.4, label="theory")
    ax.errorbar(
        ratio,
        place,
        xerr=half,
        fmt="o",
        ms=5,
        color=MODEL,
        lw=1.2,
        label="simulated, 95 % over batches",
    )
    ax.set_yticks(place, names)
    ax.set(ylim=(len(names) - 0.5, -0.5), xlabel="simulated / theory")
    ax.legend(loc="best")
    return figure


@styled
def draw_slices(slices: Mapping[str, Any]) -> Figure:
    """Draw height and mean slope along each line of :mod:`.slices`, and its critical points."""
    titles = {"start": "From the answer (0) to the farthest start (1)"}
    figure = new_figure("The descent's loss along lines", 5.5 * len(slices), 6)
    axes = figure.subplots(2, len(slices), sharex="col", squeeze=False)
    for column, (name, profile) in enumerate(slices.items()):
        height, slope = axes[:, column]
        height.plot(profile.places, profile.height, color=MODEL)
        height.set(
            title=titles.get(name, f"From the answer (0) to {readable(name)} (1)"),
            ylabel="loss above its lowest",
        )
        slope.axhline(0, color=LIGHT, lw=1)
        slope.errorbar(
            profile.places,
            profile.slope,
            yerr=2 * profile.error,
            fmt="o-",
            ms=4,
            lw=1.2,
            color=MODEL,
            label="mean slope, 2 standard errors",
        )
        for point in profile.points:
            colour, kind = (FAILURE, "maximum") if point.is_maximum else (TRUTH, "minimum")
            for ax in (height, slope):
                ax.axvline(point.place, color=colour, ls="--", lw=1.2, label=kind)
        slope.set(xlabel="place on the line", ylabel="slope")
        # Loss and slope may grow by orders of magnitude towards a start.
        sizes = np.abs(profile.slope)
        small = np.quantile(sizes, 0.25)
        if small > 0 and sizes.max() > 100 * small:
            slope.set_yscale("symlog", linthresh=small)
            height.set_yscale("symlog", linthresh=max(np.quantile(profile.height, 0.25), 1e-12))
        slope.legend(*labels_once(slope), loc="best")
    return figure
