"""The p-values of all pairs of a group, and of each system against the rest."""

from __future__ import annotations

import numpy as np
import xarray as xr

from popinv.charts.description import (
    Axis,
    Grid,
    HeatMap,
    Legend,
    Look,
    Mark,
    Panel,
    Parts,
    Points,
    Reference,
    Sheet,
)
from popinv.charts.style import LIGHT, MODEL, TRUTH
from popinv.methods.groups.group_tests import LEVEL

# Probabilities below this are drawn as this.
_LEAST = 1e-8


def draw_tests(result: xr.Dataset) -> Sheet:
    """Return the p-values of all pairs, and of each system against the rest."""
    names = [str(number) for number in result["group"].values]
    place, count = np.arange(len(names)), len(names)
    logarithms = np.log10(np.maximum(result["pair_p_value"].values, _LEAST))
    logarithms[place, place] = np.nan
    extent = (-0.5, count - 0.5, count - 0.5, -0.5)
    cells = HeatMap(logarithms, extent, float(np.log10(_LEAST)), 0, label="pairs")
    of_each = Axis("system", places=place, names=names)
    pairs = Grid(
        [Panel(of_each, of_each, [cells], title="pairs")],
        scale="decimal logarithm of p, adjusted",
    )
    p_values = np.maximum(result["system_p_value"].values, _LEAST)
    apart = result["apart"].values.astype(bool)
    marks: list[Mark] = [
        Points(place[chosen], p_values[chosen], colour=colour, label=label)
        for chosen, colour, label in (
            (~apart, MODEL, "may share parameters"),
            (apart, TRUTH, "stands apart"),
        )
        if chosen.any()
    ]
    level: Look = {"label": f"{100 * LEVEL:g} %", "colour": LIGHT}
    marks.append(Reference(LEVEL, dash="dash", **level))
    y = Axis("p, adjusted", "log", limits=(_LEAST / 2, 2))
    each = Panel(of_each, y, marks, title="each against the rest", legend=Legend())
    body = Parts([pairs, Grid([each])])
    return Sheet("Which systems can have the same parameters?", 10, 4.6, body)
