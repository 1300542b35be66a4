"""The recovered law of the parameters, beside the truth where it is known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from scipy.ndimage import gaussian_filter1d

from popinv.figures.style import (
    MODEL,
    ORACLE,
    SEQUENTIAL,
    TRUTH,
    new_figure,
    readable,
    styled,
)

__all__ = ["FieldDraws", "MarginalDraws", "draw_law"]

_STRIPS = 6
_EXAMPLES = 3
# A density is a fine histogram, smoothed over about a fiftieth of its range.
_BINS = 240
_SMOOTHING = 4.0


@dataclass(frozen=True)
class FieldDraws:
    """Fields drawn from a law, the first ones as examples.

    Parameters
    ----------
    points : ndarray of shape (n,)
        The line on which ``recovered`` and ``true`` are known.
    recovered, true : ndarray of shape (m, n); ``true`` may be None
        From the same random numbers, so that row i of one is comparable with row i of the other.
    recovered_middle, true_middle : ndarray of shape (k,)
        At the mid-point of the domain, from more draws.
    squares : pair of ndarray of shape (examples, side, side), or None
        In two dimensions, the examples over the whole domain.
    """

    points: np.ndarray
    recovered: np.ndarray
    true: np.ndarray | None
    recovered_middle: np.ndarray
    true_middle: np.ndarray | None
    squares: tuple[np.ndarray, np.ndarray | None] | None = None


@dataclass(frozen=True)
class MarginalDraws:
    """Parameters drawn from a law of named parameters, shape (m, len(names)) each."""

    names: tuple[str, ...]
    recovered: np.ndarray
    true: np.ndarray | None


@styled
def draw_law(
    population: xr.Dataset,
    draws: FieldDraws | MarginalDraws,
    truth: xr.Dataset | None = None,
    oracle: xr.Dataset | None = None,
) -> Figure:
    """Draw the law's parameters with intervals, and what the law says about the systems.

    Parameters
    ----------
    population : Dataset
        ``law``, and ``law_lower`` and ``law_upper`` where systems were resampled.
    draws : FieldDraws or MarginalDraws
    truth : Dataset, optional
        ``law``.
    oracle : Dataset, optional
        ``law``, estimated with the noise known.
    """
    title = "Recovered law of the parameters"
    figure = new_figure(title + (" against the truth" if truth is not None else ""), 11, 8)
    left, right = figure.subfigures(1, 2, wspace=0.02, squeeze=False)[0]
    if isinstance(draws, FieldDraws):
        upper_left, lower_left = left.subfigures(2, 1, hspace=0.02, squeeze=False)[:, 0]
        _parameters(upper_left, population, truth, oracle)
        upper_right, lower_right = right.subfigures(2, 1, hspace=0.02, squeeze=False)[:, 0]
        _band(lower_left.subplots(), draws)
        axes = upper_right.subplots()
        _density(axes, draws.recovered_middle, draws.true_middle)
        axes.set(title="Log-permeability at the mid-point", xlabel="log-permeability")
        axes.set_ylabel("density over the population")
        axes.legend()
        _examples(lower_right, draws)
    else:
        _parameters(left, population, truth, oracle)
        grid = right.subplots(len(draws.names), 1, squeeze=False)[:, 0]
        for i, (ax, name) in enumerate(zip(grid, draws.names, strict=True)):
            true = None if draws.true is None else draws.true[:, i]
            _density(ax, draws.recovered[:, i], true)
            ax.set(title=readable(name), ylabel="density")
        grid[0].legend()
    return figure


def _parameters(
    figure: SubFigure, population: xr.Dataset, truth: xr.Dataset | None, oracle: xr.Dataset | None
) -> None:
    names = [str(n) for n in population["law_parameter"].values]
    if len(names) <= _STRIPS:
        # Parameters of different sizes do not share an axis.
        grid = figure.subplots(len(names), 1, squeeze=False)[:, 0]
        groups = [(ax, [i]) for i, ax in enumerate(grid)]
    else:
        grid = figure.subplots(1, 1, squeeze=False)[:, 0]
        groups = [(grid[0], list(range(len(names))))]
    for ax, rows in groups:
        _strip(ax, rows, population, truth, oracle)
        if len(rows) == 1:
            ax.set_title(f"{readable(names[rows[0]])}: {_in_words(population, truth, rows[0])}")
            ax.set_ylim(-1, 1)
            # An empty label keeps the axis away from the edge of the figure.
            ax.set_yticks([0], ["   "])
            ax.tick_params(axis="y", length=0)
            ax.grid(axis="y", visible=False)
            ax.margins(x=0.15)
            ax.spines["left"].set_visible(False)
        else:
            ax.set_yticks(range(len(rows)), [readable(n) for n in names], fontsize=7)
            ax.set_ylim(len(rows) - 0.5, -0.5)
            ax.set_title("Parameters of the law")
    handles, labels = grid[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4)


def _in_words(population: xr.Dataset, truth: xr.Dataset | None, i: int) -> str:
    words = f"{population['law'].values[i]:.3g}"
    if "law_lower" in population:
        low, high = population["law_lower"].values[i], population["law_upper"].values[i]
        words += f" ({low:.3g} to {high:.3g})"
    return words if truth is None else f"{words}, true {truth['law'].values[i]:.3g}"


def _strip(
    ax: Axes,
    rows: list[int],
    population: xr.Dataset,
    truth: xr.Dataset | None,
    oracle: xr.Dataset | None,
) -> None:
    height = np.arange(len(rows), dtype=float)
    values = population["law"].values[rows]
    if "law_lower" in population:
        low, high = population["law_lower"].values[rows], population["law_upper"].values[rows]
        ax.hlines(height, low, high, color=MODEL, lw=3, alpha=0.5, label="95 % interval")
    if truth is not None:
        true = truth["law"].values[rows]
        ax.vlines(true, height - 0.45, height + 0.45, color=TRUTH, ls="--", label="truth")
    ax.plot(values, height, "o", color=MODEL, label="recovered")
    if oracle is not None:
        ax.plot(oracle["law"].values[rows], height, "D", color=ORACLE, ms=5, label="noise known")


def _density(ax: Axes, recovered: np.ndarray, true: np.ndarray | None) -> None:
    both = recovered if true is None else np.concatenate([recovered, true])
    low, high = np.quantile(both, [0.001, 0.999])
    # A law may hold a parameter at one value; its density is then a single peak.
    pad = 0.1 * (high - low) or 0.5
    edges = np.linspace(low - pad, high + pad, _BINS + 1)
    centres = (edges[:-1] + edges[1:]) / 2

    def density(values: np.ndarray) -> np.ndarray:
        height, _ = np.histogram(values, edges)
        share = height / (len(values) * (edges[1] - edges[0]))
        return gaussian_filter1d(share, _SMOOTHING, mode="constant")

    height = density(recovered)
    ax.fill_between(centres, height, color=MODEL, alpha=0.2, lw=0)
    ax.plot(centres, height, color=MODEL, label="recovered")
    if true is not None:
        ax.plot(centres, density(true), color=TRUTH, ls="--", label="truth")
    ax.set_ylim(bottom=0)


def _range(fields: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    # The mean, not the median: where a field takes one of two values the median jumps between.
    low, high = np.quantile(fields, (0.05, 0.95), axis=0)
    return low, fields.mean(axis=0), high


def _band(ax: Axes, draws: FieldDraws) -> None:
    x = draws.points
    low, mean, high = _range(draws.recovered)
    ax.fill_between(x, low, high, color=MODEL, alpha=0.2, lw=0, label="recovered, 5–95 %")
    ax.plot(x, mean, color=MODEL, label="recovered, mean")
    if draws.true is not None:
        for i, curve in enumerate(_range(draws.true)):
            label = "truth" if i == 0 else None
            ax.plot(x, curve, color=TRUTH, ls="--", lw=1.5, label=label)
    ax.set_title("Pointwise range of the log-permeability")
    ax.set(xlabel="x" if draws.squares is None else "x, at y = 0.5", ylabel="log-permeability")
    bottom, top = ax.get_ylim()
    ax.set_ylim(bottom, top + 0.25 * (top - bottom))
    ax.legend(ncols=3, loc="upper center", fontsize=8, columnspacing=1.0)


def _examples(figure: SubFigure, draws: FieldDraws) -> None:
    if draws.squares is not None:
        _squares(figure, *draws.squares)
        return
    ax = figure.subplots()
    for i in range(min(_EXAMPLES, len(draws.recovered))):
        first = i == 0
        label = "recovered" if first else None
        ax.plot(draws.points, draws.recovered[i], color=MODEL, label=label)
        if draws.true is not None:
            label = "truth, same random numbers" if first else None
            ax.plot(draws.points, draws.true[i], color=TRUTH, ls="--", lw=1.4, label=label)
    ax.set(title="Sample fields", xlabel="x", ylabel="log-permeability")
    bottom, top = ax.get_ylim()
    ax.set_ylim(bottom, top + 0.25 * (top - bottom))
    ax.legend(loc="upper center", ncols=2, fontsize=8.5)


def _squares(figure: SubFigure, recovered: np.ndarray, true: np.ndarray | None) -> None:
    rows = [("recovered", recovered)] + ([] if true is None else [("true", true)])
    grid = figure.subplots(len(rows), len(recovered), squeeze=False)
    low = min(values.min() for _, values in rows)
    high = max(values.max() for _, values in rows)
    for axes, (whose, values) in zip(grid, rows, strict=True):
        for ax, value in zip(axes, values, strict=True):
            image = ax.imshow(
                value, origin="lower", extent=(0, 1, 0, 1), vmin=low, vmax=high, cmap=SEQUENTIAL
            )
            ax.set(xticks=[], yticks=[])
            ax.grid(False)
        axes[0].set_ylabel(f"{whose} law")
    title = "Sample fields" + ("" if true is None else ", the same random numbers in each column")
    figure.suptitle(title, fontsize=11.5, fontweight="normal")
    figure.colorbar(image, ax=grid, label="log-permeability")
