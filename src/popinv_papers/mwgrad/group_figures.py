"""Figures of a group of systems: the Pareto front of its trade-offs."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from popinv.figures.style import DATA, LIGHT, MODEL, SYSTEMS, new_figure, styled


@styled
def draw_front(result: xr.Dataset) -> Figure:
    """Draw the front of the two systems farthest apart, and where descents of the group end."""
    figure = new_figure("Trade-offs in the group", 10, 4.6)
    left, right = figure.subplots(1, 2)
    group = result["group"].values.tolist()
    two = [group.index(number) for number in result["front_system"].values.tolist()]
    left.plot(*result["front"].values.T, "-", color=LIGHT, label="front of these two alone")
    rules = dict(zip(result["rule"].values.tolist(), result["regret"].values, strict=True))
    ends = {
        "equal weights": (rules["fixed"][None], DATA, "s"),
        "least norm": (rules["minnorm"][None], MODEL, "o"),
        "least norm, other starts": (result["regret_from"].values, SYSTEMS[1], "o"),
    }
    place = np.arange(len(group))
    for label, (regrets, colour, marker) in ends.items():
        left.plot(*regrets[:, two].T, marker, ls="", color=colour, label=label)
        lines = right.plot(place, regrets.T, "-", marker=marker, color=colour, lw=1)
        lines[0].set_label(label)
    left.set(title="two systems", xlabel=f"regret of system {group[two[0]]}")
    left.set_ylabel(f"regret of system {group[two[1]]}")
    right.set(title="all systems", xlabel="system", ylabel="regret, rise of −log p")
    right.set_xticks(place, [str(number) for number in group])
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure
