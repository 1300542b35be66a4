"""The parameters of a law two by two: densities, joint densities and correlations."""

from __future__ import annotations

from typing import Any

from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import SubFigure

from popinv.charts.style import DIVERGING, MODEL, TRUTH, axis_label, readable
from popinv.figures.joint import SHARES, Correlations, PairDraws, joint_of
from popinv.figures.marginals import Marginal, density_of, draw_density, logarithmic

# Beyond this size, dark cells need light text.
_DARK = 0.6


def draw_pairs(figure: SubFigure, draws: PairDraws) -> None:
    """Draw densities on the diagonal, joint densities below it, correlations above it.

    Parameters
    ----------
    draws : PairDraws
        Of at most six parameters, so that the panels are readable.
    """
    marginals, count = draws.marginals, len(draws.marginals)
    grid = figure.subplots(count, count, squeeze=False)
    for i in range(count):
        for j in range(count):
            ax = grid[i, j]
            if i == j:
                draw_density(ax, marginals[i])
                ax.set(ylabel="", yticks=[])
            elif j < i:
                _joint(ax, marginals[j], marginals[i])
                ax.set_ylabel(_label(marginals[i]) if j == 0 else "")
                ax.tick_params(labelleft=j == 0)
            else:
                _number(ax, draws.correlations, i, j)
            ax.set_xlabel(_label(marginals[j]) if i == count - 1 else "")
            ax.tick_params(labelbottom=i == count - 1, labelsize=8.5)
    for j in range(count):
        low, high = grid[-1, j].get_xlim() if j < count - 1 else _ends(marginals[j])
        for i in range(j, count):
            grid[i, j].set_xlim(low, high)
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3)
    shares = " and ".join(f"{100 * share:.0f}" for share in SHARES)
    title = f"Densities (contours: {shares} %) and correlations"
    figure.suptitle(title, fontsize=11.5, fontweight="normal")


def _ends(marginal: Marginal) -> tuple[float, float]:
    x = density_of(marginal).x
    return float(x[0]), float(x[-1])


def _label(marginal: Marginal) -> str:
    return axis_label(readable(marginal.name), marginal.units)


def _joint(ax: Axes, first: Marginal, second: Marginal) -> None:
    joint = joint_of(first, second)
    if density_of(first).wide:
        logarithmic(ax)
    if density_of(second).wide:
        logarithmic(ax, vertical=True)
    inner, outer = SHARES
    for levels, alpha in (((0.0, inner), 0.45), ((inner, outer), 0.18)):
        ax.contourf(joint.x, joint.y, joint.recovered, levels=levels, colors=MODEL, alpha=alpha)
    ax.contour(joint.x, joint.y, joint.recovered, levels=SHARES, colors=MODEL, linewidths=1.0)
    if joint.true is not None:
        ax.contour(
            joint.x,
            joint.y,
            joint.true,
            levels=SHARES,
            colors=TRUTH,
            linestyles="--",
            linewidths=1.4,
        )


def _number(ax: Axes, correlations: Correlations, i: int, j: int) -> None:
    """Write a correlation on a cell of its colour."""
    value = correlations.estimate[i, j]
    ax.set_facecolor(colormaps[DIVERGING](Normalize(-1, 1)(value)))
    ax.grid(False)
    ax.set(xticks=[], yticks=[])
    first, *rest = correlations.in_words(i, j)
    colour = "white" if abs(value) > _DARK else "black"
    place: dict[str, Any] = {"transform": ax.transAxes, "ha": "center", "color": colour}
    ax.text(0.5, 0.58, first, va="center", fontsize=12, **place)
    ax.text(0.5, 0.46, "\n".join(rest), va="top", fontsize=8.5, **place)
