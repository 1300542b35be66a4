"""The price of the guarantee, and the answers after removals."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from popinv.figures.style import CHECK, LIGHT, MODEL, SYSTEMS, TRUTH, new_figure, readable, styled

_MOST_PARAMETERS = 12
_WAYS = {
    "learnt": ("before", LIGHT, "o"),
    "sequence": ("removed one by one", MODEL, "s"),
    "batch": ("removed all at once", CHECK, "^"),
    "anew": ("learned anew", TRUTH, "D"),
}


@styled
def draw_forgetting(result: xr.Dataset) -> Figure:
    """Draw the price of the guarantee, and the answers after the removal, with their noise."""
    figure = new_figure("Removing systems from law and noise, under certificate", 11, 4.8)
    left, right = figure.subplots(1, 2)
    epochs = result["removal_epochs"].values
    for epsilon, colour in zip(result["epsilon"].values, SYSTEMS, strict=False):
        price = result["price"].sel(epsilon=epsilon).values
        left.plot(epochs, price, "o-", color=colour, label=f"ε = {epsilon:g}")
    left.axhline(1, color=LIGHT, lw=1, ls=":")
    left.set(
        xlabel="epochs of the removal",
        ylabel="noise, in standard errors",
        yscale="log",
        xticks=_few(epochs),
    )
    left.legend(loc="best")
    error, exact = result["standard_error"].values, result["unconstrained"].sel(way="exact").values
    rows = np.flatnonzero(error > 0)[:_MOST_PARAMETERS]
    right.axvspan(-1, 1, color=LIGHT, alpha=0.2, lw=0)
    for j, (way, (label, colour, mark)) in enumerate(_WAYS.items()):
        shift = (result["unconstrained"].sel(way=way).values - exact)[rows] / error[rows]
        place = np.arange(len(rows)) + 0.15 * (j - 1.5)
        noise = float(result["noise"].sel(way=way))
        right.errorbar(shift, place, xerr=2 * noise, fmt=mark, ms=5, color=colour, label=label)
    right.set(
        xlabel="distance from the exact answer without them, in standard errors",
        yticks=range(len(rows)),
    )
    right.set_yticklabels([readable(str(result["fitted"].values[i])) for i in rows])
    right.invert_yaxis()
    figure.legend(*right.get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure


def _few(numbers: np.ndarray) -> np.ndarray:
    return numbers[:: 1 + (len(numbers) - 1) // 10]
