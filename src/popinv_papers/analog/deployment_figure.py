"""The figure of a study's answer through a surrogate on an analog accelerator."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from popinv.figures.style import SYSTEMS, TRUTH, new_figure, readable, styled
from popinv_papers.analog.deployment import FAR, TOLERANCE, Shift
from popinv_papers.analog.levels import ERRORS


@styled
def draw_deployment(shifts: Sequence[Shift]) -> Figure:
    """Draw the largest shift of the answer by error and level, one line for each draw.

    A refit that was lost is a cross at the shift up to which refits are followed.
    """
    figure = new_figure("The surrogate on an accelerator: shift of the answer", 4 * len(ERRORS), 4)
    axes = figure.subplots(1, len(ERRORS), sharey=True)
    for ax, (kind, own) in zip(axes, ERRORS.items(), strict=True):
        of_kind = [one for one in shifts if one.kind == kind]
        for draw in sorted({one.draw for one in of_kind}):
            ones = [one for one in of_kind if one.draw == draw]
            sizes = [float(np.abs(one.shift).max()) for one in ones]
            ax.plot([one.level for one in ones], sizes, "o-", ms=3, lw=1, color=SYSTEMS[0])
        lost = [one.level for one in of_kind if not np.isfinite(one.shift).all()]
        ax.plot(lost, np.full(len(lost), FAR), "x", ms=5, color=SYSTEMS[0])
        ax.axhline(TOLERANCE, color=TRUTH, ls="--", lw=1.2, label="half a standard error")
        bits = own.unit == "bits"
        ax.set(title=readable(kind), xlabel=own.unit, xscale="linear" if bits else "log")
        ax.set_yscale("log")
        first, last = own.place(own.levels[0]), own.place(own.levels[-1])
        margin = 0.05 * (last - first)
        # All levels are shown, so that an axis has limits where every refit was lost.
        ax.set_xlim(own.level(first - margin), own.level(last + margin))
    axes[0].set(ylabel="largest shift in standard errors")
    axes[0].legend(loc="best")
    return figure
