"""Figures of a group of systems: the tests, and the Pareto front of its trade-offs."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from popinv.downstream.mwgrad.group_tests import LEVEL
from popinv.figures.style import DATA, LIGHT, MODEL, SEQUENTIAL, SYSTEMS, TRUTH, new_figure, styled

__all__ = ["draw_front", "draw_tests"]

# Probabilities below this are drawn as this.
_LEAST = 1e-8


@styled
def draw_tests(result: xr.Dataset) -> Figure:
    """Draw the p-values of all pairs, and of each system against the rest."""
    figure = new_figure("Which systems can have the same parameters?", 10, 4.6)
    left, right = figure.subplots(1, 2)
    names = [str(number) for number in result["group"].values]
    place = np.arange(len(names))
    pairs = np.log10(np.maximum(result["pair_p_value"].values, _LEAST))
    pairs[place, place] = np.nan
    image = left.imshow(pairs, cmap=SEQUENTIAL, vmin=np.log10(_LEAST), vmax=0)
    figure.colorbar(image, ax=left, label="decimal logarithm of p, adjusted")
    left.set(title="pairs", xlabel="system", ylabel="system")
    left.set_xticks(place, names)
    left.set_yticks(place, names)
    p_values = np.maximum(result["system_p_value"].values, _LEAST)
    apart = result["apart"].values.astype(bool)
    for chosen, colour, label in (
        (~apart, MODEL, "may share parameters"),
        (apart, TRUTH, "stands apart"),
    ):
        if chosen.any():
            right.plot(place[chosen], p_values[chosen], "o", color=colour, label=label)
    right.axhline(LEVEL, color=LIGHT, ls="--", label=f"{100 * LEVEL:g} %")
    right.set(yscale="log", ylim=(_LEAST / 2, 2), title="each against the rest")
    right.set(xlabel="system", ylabel="p, adjusted")
    right.set_xticks(place, names)
    right.legend()
    return figure


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
