"""Pictures of the method: the influence of all systems, and the answers without some."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from popinv.figures.style import (
    CHECK,
    LIGHT,
    MODEL,
    ORACLE,
    TRUTH,
    new_figure,
    note,
    readable,
    styled,
)

_NAMED, _MOST_PARAMETERS = 3, 12
_MARKS = (("o", MODEL), ("s", CHECK), ("^", ORACLE), ("D", TRUTH))


@styled
def draw_influence(table: pd.DataFrame, names: Sequence[str], withdrawn: Sequence[str]) -> Figure:
    """Draw the shift of each parameter without each system, and the sizes of the shifts.

    The most influential systems are named, and those that withdraw are marked. The table is that of
    :func:`popinv.methods.withdrawal.influence.influence_table`.
    """
    shown = list(names)[:_MOST_PARAMETERS]
    figure = new_figure(
        "Influence of every system on the answer", 11, max(4.2, 1.4 + 0.6 * len(shown))
    )
    left, right = figure.subplots(1, 2, width_ratios=[3, 2])
    systems = table["system"].astype(str).to_numpy()
    gone = np.isin(systems, list(withdrawn))
    # Systems are spread over the height of a row, for the eye alone; the places repeat.
    height = 0.6 * ((np.arange(len(systems)) * 0.618034) % 1.0 - 0.5)
    for row, name in enumerate(shown):
        shift = table[f"{name}: shift [standard errors]"].to_numpy()
        left.plot(shift, row + height, "o", ms=3, color=LIGHT, alpha=0.5, mew=0)
        left.plot(shift[gone], row + height[gone], "o", ms=6, color=TRUTH)
        for i in np.argsort(-np.abs(shift))[:_NAMED]:
            left.annotate(
                systems[i],
                (shift[i], row + height[i]),
                xytext=(4, 2),
                textcoords="offset points",
                fontsize=7,
            )
    left.axvline(0, color=LIGHT, lw=1)
    left.set(xlabel="shift without the system, in standard errors", yticks=range(len(shown)))
    left.set_yticklabels([readable(name) for name in shown])
    left.invert_yaxis()
    size = table["size [standard errors]"].to_numpy()
    rank = np.arange(1, len(size) + 1)
    right.plot(rank, size, ".", color=MODEL)
    if gone.any():
        right.plot(rank[gone], size[gone], "o", ms=6, color=TRUTH, label="withdraws")
        right.legend(loc="best")
    right.set(
        xlabel="systems, by their influence",
        ylabel="size of the shift, in standard errors",
        xscale="log",
        yscale="log",
    )
    return figure


@styled
def draw_answers(table: pd.DataFrame, errors: np.ndarray) -> Figure:
    """Draw each parameter with all systems, and without those that withdraw.

    The table is that of :func:`popinv.methods.withdrawal.influence.answers_table`. Parameters
    without a standard error (n_p,) are left out.
    """
    ending = ": shift [standard errors]"
    told = [name.removesuffix(ending) for name in table.columns if name.endswith(ending)]
    rows = np.flatnonzero(errors > 0)[:_MOST_PARAMETERS]
    figure = new_figure(
        "Law and noise without the systems that withdraw", 9, max(3.4, 1.6 + 0.5 * len(rows))
    )
    ax = figure.subplots()
    if not told:
        note(ax, "no system withdraws")
        return figure
    ax.axvspan(-1, 1, color=LIGHT, alpha=0.2, lw=0, label="all systems, one standard error")
    ax.axvline(0, color=LIGHT, lw=1)
    for j, (name, (mark, colour)) in enumerate(zip(told, _MARKS, strict=False)):
        shift = table[f"{name}{ending}"].to_numpy()[rows]
        place = np.arange(len(rows)) + 0.14 * (j - (len(told) - 1) / 2)
        ax.plot(shift, place, mark, color=colour, ms=6, label=name)
    ax.set(xlabel="shift of the answer, in standard errors", yticks=range(len(rows)))
    ax.set_yticklabels([readable(str(table["parameter"].iloc[i])) for i in rows])
    ax.invert_yaxis()
    figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure
