"""Where, and how often, the solver was called."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.ndimage import gaussian_filter

from popinv.figures.style import CHECK, DATA, FAILURE, MODEL, new_figure, note, styled

__all__ = ["Plane", "draw_solver_calls"]

_COLUMNS = 3
_MOST = 8
_BINS = 60
# Contours hold these shares of the population.
_SHARES = (0.9, 0.5)


@dataclass(frozen=True)
class Plane:
    """Two quantities of every system, in which solves can be looked at.

    Parameters
    ----------
    labels : (str, str)
    solves : ndarray of shape (samples, 2)
        Of the solved systems, in the order of the record.
    population : ndarray of shape (m, 2)
        Of systems drawn from the recovered law.
    """

    labels: tuple[str, str]
    solves: np.ndarray
    population: np.ndarray


@styled
def draw_solver_calls(check: xr.Dataset, plane: Plane) -> Figure:
    """Draw where each round solved, and count calls and failures.

    Parameters
    ----------
    check : Dataset
        ``round`` and ``reason`` by sample; ``solver_calls`` and ``solver_failures`` by round, the
        last being the final check.
    plane : Plane
    """
    count = check.sizes["round_number"]
    # The first rounds and the last say most where there are more than fit.
    shown = np.unique(np.linspace(0, count - 1, min(count, _MOST)).round().astype(int))
    rows = -(-(len(shown) + 1) // _COLUMNS)
    figure = new_figure("Where the solver was called", 11, 1 + 3.1 * rows)
    axes = figure.subplots(rows, _COLUMNS, squeeze=False).ravel()
    limits = _limits(plane)
    contour = _contour(plane.population, limits)
    of_round, failed = check["round"].values, check["reason"].values != 0
    for ax, number in zip(axes, shown, strict=False):
        here, last = of_round == number, number == count - 1
        colour = CHECK if last else MODEL
        good, bad = plane.solves[here & ~failed], plane.solves[here & failed]
        dots = ax.scatter(*good.T, s=5, color=colour, alpha=0.35, lw=0, label="solved")
        ax.scatter(*bad.T, s=28, marker="x", color=FAILURE, lw=1.2, label="failed")
        dots.set_rasterized(True)
        ax.contour(*contour, colors=[DATA], linewidths=1.3)
        name = "final check" if last else f"round {number}"
        ax.set_title(f"{name.capitalize()}: {int(here.sum())} solves")
        if not here.any():
            note(ax, "no new solves:\nthe surrogate was good enough")
        ax.set(xlim=limits[0], ylim=limits[1], xlabel=plane.labels[0], ylabel=plane.labels[1])
    _counts(axes[len(shown)], check)
    for ax in axes[len(shown) + 1 :]:
        ax.remove()
    return figure


def _limits(plane: Plane) -> tuple[tuple[float, float], tuple[float, float]]:
    # A few solves of a broad first design lie far out and would make all others one dot.
    low, high = np.nanquantile(plane.solves, [0.005, 0.995], axis=0)
    low = np.minimum(low, np.quantile(plane.population, 0.005, axis=0))
    high = np.maximum(high, np.quantile(plane.population, 0.995, axis=0))
    pad = np.where(high > low, 0.06 * (high - low), 0.5)
    return (low[0] - pad[0], high[0] + pad[0]), (low[1] - pad[1], high[1] + pad[1])


def _contour(
    population: np.ndarray, limits: tuple[tuple[float, float], tuple[float, float]]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[float]]:
    """Return x, y, a smoothed density, and the levels that hold the shares of the population."""
    density, x, y = np.histogram2d(*population.T, bins=_BINS, range=limits)
    # The smoothing also gives width to a population that lies on a line.
    density = gaussian_filter(density, 1.2)
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
