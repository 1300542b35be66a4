"""Place and number of the solver calls."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from scipy.ndimage import gaussian_filter

from popinv.charts.style import (
    CHECK,
    DATA,
    FAILURE,
    MODEL,
    ORACLE,
    new_figure,
    note,
    styled,
)

_COLUMNS = 3
_MOST = 8
_BINS = 60
# Contours hold these shares of the population.
_SHARES = (0.9, 0.5)

View = tuple[tuple[float, float], tuple[float, float]]


@dataclass(frozen=True)
class Plane:
    """Two quantities of every system, in which solves are shown.

    Parameters
    ----------
    labels : (str, str)
    title : str
        The choice of the two quantities; empty if there are no others.
    solves : ndarray of shape (samples, 2)
        Quantities of the solved systems, in the order of the record.
    populations : tuple of ndarray of shape (m, 2)
        Quantities of systems drawn from the law estimated at the end of every round and, last, from
        the law of the answer.
    """

    labels: tuple[str, str]
    title: str
    solves: np.ndarray
    populations: tuple[np.ndarray, ...]


@styled
def draw_solver_calls(check: xr.Dataset, plane: Plane) -> Figure:
    """Draw the solves of each round, and the numbers of calls and failures.

    Parameters
    ----------
    check : Dataset
        ``round`` and ``reason`` by sample; ``solver_calls`` and ``solver_failures`` by round. The
        last round is the final check.
    """
    count = check.sizes["round_number"]
    # If not all rounds fit, some are chosen evenly, with the first and the last among them.
    shown = np.unique(np.linspace(0, count - 1, min(count, _MOST)).round().astype(int))
    rows = -(-(len(shown) + 1) // _COLUMNS)
    figure = new_figure(f"Where the solver was called{plane.title}", 11, 1 + 3.1 * rows)
    axes = figure.subplots(rows, _COLUMNS, squeeze=False).ravel()
    of_round, failed = check["round"].values, check["reason"].values != 0
    # The first design is broad. The other rounds share a closer view, which is marked in the first.
    everyone = np.concatenate([plane.populations[number] for number in shown])
    broad = _limits(plane.solves, everyone)
    close = _limits(plane.solves[of_round > 0], everyone)
    for ax, number in zip(axes, shown, strict=False):
        here, last = of_round == number, number == count - 1
        colour = CHECK if last else MODEL
        good, bad = plane.solves[here & ~failed], plane.solves[here & failed]
        ax.scatter(*good.T, s=5, color=colour, alpha=0.35, lw=0, label="solved")
        ax.scatter(*bad.T, s=28, marker="x", color=FAILURE, lw=1.2, label="failed")
        contour = _contour(plane.populations[number], close)
        ax.contour(*contour, colors=[DATA], linewidths=1.3)
        name = "final check" if last else f"round {number}"
        ax.set_title(f"{name.capitalize()}: {int(here.sum())} solves")
        if not here.any():
            note(ax, "no new solves:\nthe surrogate was good enough", height=0.1)
        view = broad if number == 0 else close
        ax.set(xlim=view[0], ylim=view[1], xlabel=plane.labels[0], ylabel=plane.labels[1])
    _frame(axes[0], close)
    _legend(figure, bool(failed.any()))
    _counts(axes[len(shown)], check)
    for ax in axes[len(shown) + 1 :]:
        ax.remove()
    return figure


def _limits(solves: np.ndarray, population: np.ndarray) -> View:
    # A few solves lie far out, and a common view would reduce all others to a dot.
    ends = [np.quantile(population, [0.005, 0.995], axis=0)]
    if len(solves):
        ends.append(np.nanquantile(solves, [0.005, 0.995], axis=0))
    low, high = np.min(ends, axis=(0, 1)), np.max(ends, axis=(0, 1))
    pad = np.where(high > low, 0.08 * (high - low), 0.5)
    return (low[0] - pad[0], high[0] + pad[0]), (low[1] - pad[1], high[1] + pad[1])


def _frame(ax: Axes, view: View) -> None:
    (left, right), (bottom, top) = view
    frame = Rectangle(
        (left, bottom), right - left, top - bottom, fill=False, ec=ORACLE, lw=1.5, zorder=3
    )
    ax.add_patch(frame)


def _legend(figure: Figure, failures: bool) -> None:
    handles = [
        Line2D([], [], marker="o", ls="", ms=4, color=MODEL, label="solve"),
        Line2D(
            [],
            [],
            color=DATA,
            lw=1.3,
            label="50 and 90 % of the population estimated at the end of the round",
        ),
        Line2D(
            [],
            [],
            marker="s",
            ls="",
            ms=9,
            mfc="none",
            color=ORACLE,
            label="view of the later rounds",
        ),
    ]
    if failures:
        handles.insert(1, Line2D([], [], marker="x", ls="", color=FAILURE, label="failed solve"))
    figure.legend(handles=handles, loc="outside lower center", ncols=4)


def _contour(
    population: np.ndarray, limits: View
) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[float]]:
    """Return x, y, a smoothed density, and the levels that contain the population's shares."""
    density, x, y = np.histogram2d(
        population[:, 0], population[:, 1], bins=_BINS, range=np.array(limits)
    )
    # The smoothing also gives width to a population that lies on a line.
    density = gaussian_filter(density, 1.5)
    ranked = np.sort(density.ravel())[::-1]
    held = np.cumsum(ranked) / ranked.sum()
    levels = [float(ranked[np.searchsorted(held, share)]) for share in _SHARES]
    return (x[:-1] + x[1:]) / 2, (y[:-1] + y[1:]) / 2, density.T, levels


def _counts(ax: Axes, check: xr.Dataset) -> None:
    calls, failures = check["solver_calls"].values, check["solver_failures"].values
    number = np.arange(len(calls))
    colours = [MODEL] * (len(calls) - 1) + [CHECK]
    ax.bar(number, calls, color=colours, alpha=0.75, width=0.7)
    ax.bar(number, failures, color=FAILURE, width=0.7, label=f"failed, {failures.sum()} in all")
    for i, call, failure in zip(number, calls, failures, strict=True):
        text = f"{call}" if not failure else f"{call}\n{failure} failed"
        ax.annotate(text, (i, call), (0, 3), textcoords="offset points", ha="center", fontsize=9)
    ax.set_xticks(number, [*(str(i) for i in number[:-1]), "check"])
    ax.set_ylim(0, 1.25 * max(1, calls.max()))
    ax.set(title=f"{calls.sum()} calls, {failures.sum()} failed", xlabel="round")
    ax.set_ylabel("solver calls")
    ax.grid(axis="x", visible=False)
