"""The ends of many descents: their losses over their distances from the answer."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from popinv.figures.style import LIGHT, MODEL, SYSTEMS, new_figure, styled
from popinv.methods.restarts.descents import Descents


@styled
def draw_ends(made: Descents) -> Figure:
    """Draw by how much the loss at each end exceeds that at the answer, with its error."""
    figure = new_figure("Ends of the descent from other starts", 8, 4.8)
    ax = figure.subplots()
    excess = made.losses[1:] - made.losses[0]
    error = excess.std(axis=1, ddof=1) / np.sqrt(excess.shape[1])
    groups = made.found.groups[1:]
    for number in np.unique(groups[groups >= 0]):
        rows = groups == number
        ax.errorbar(
            made.distances[1:][rows],
            excess[rows].mean(axis=1),
            yerr=2 * error[rows],
            fmt="o",
            color=MODEL if number == 0 else SYSTEMS[1 + (number - 1) % (len(SYSTEMS) - 1)],
            label="the answer" if number == 0 else f"answer {number}",
        )
    ax.axhline(0, color=LIGHT, lw=1)
    ax.set(
        xlabel="distance from the answer, in standard errors",
        ylabel="loss above that of the answer (2 standard errors)",
    )
    ax.legend(loc="best")
    return figure
