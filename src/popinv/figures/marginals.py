"""Densities of single quantities, and the parameters of a law."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import SubFigure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from scipy.ndimage import gaussian_filter1d

from popinv.charts.style import MODEL, ORACLE, TRUTH, axis_label, readable

# Up to this number, each parameter of a law has its own axis.
_STRIPS = 8
# A density is a fine histogram, smoothed over about a fiftieth of its range.
_BINS = 240
_SMOOTHING = 4.0
# Positive values that spread over more than this factor get a logarithmic axis.
_WIDE = 8.0
_KINDS = ("_mean", "_standard_deviation")
# With more names than this, not all are written.
_NAMES = 60


@dataclass(frozen=True)
class Marginal:
    """Draws of one quantity over the population, shape (m,) each; ``true`` may be None.

    ``varied``, of shape (1 + K, n), holds draws of the recovered law and of K laws about it, all
    with the same random numbers.
    """

    name: str
    units: str
    recovered: np.ndarray
    true: np.ndarray | None
    varied: np.ndarray | None = None


def is_wide(values: np.ndarray) -> bool:
    """Return whether values are all positive and spread over a large factor."""
    seen = values[~np.isnan(values)]
    if not len(seen) or seen.min() <= 0:
        return False
    low, high = np.quantile(seen, [0.01, 0.99])
    return bool(high > _WIDE * low)


def logarithmic(ax: Axes, vertical: bool = False) -> None:
    """Give x, or y, a logarithmic axis that shows several numbers even within a decade."""
    (ax.set_yscale if vertical else ax.set_xscale)("log")
    axis = ax.yaxis if vertical else ax.xaxis
    axis.set_major_locator(LogLocator(subs=(1, 3), numticks=7))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


@dataclass(frozen=True)
class Density:
    """Densities of a quantity over the population, all of shape (n,); ``true`` may be None.

    ``band`` holds the lower and the upper ends of pointwise 95 % intervals of the recovered
    density, if they are known.

    If ``wide``, ``x`` is best shown on a logarithmic axis, and the density is that of the natural
    logarithm, so that areas are shares of the population on either axis.
    """

    x: np.ndarray
    recovered: np.ndarray
    true: np.ndarray | None
    wide: bool
    band: tuple[np.ndarray, np.ndarray] | None = None


def density_of(marginal: Marginal) -> Density:
    """Return the smoothed densities of the recovered and the true draws."""
    recovered, true = marginal.recovered, marginal.true
    both = recovered if true is None else np.concatenate([recovered, true])
    wide = is_wide(both)
    transform = np.log if wide else np.asarray
    low, high = np.quantile(transform(both), [0.001, 0.999])
    # A law may hold a parameter at one value. Its density is then a single peak.
    pad = 0.1 * (high - low) or 0.5
    edges = np.linspace(low - pad, high + pad, _BINS + 1)
    centres = (edges[:-1] + edges[1:]) / 2

    def density(values: np.ndarray) -> np.ndarray:
        height, _ = np.histogram(transform(values), edges)
        share = height / (len(values) * (edges[1] - edges[0]))
        return gaussian_filter1d(share, _SMOOTHING, mode="constant")

    here, band = density(recovered), None
    if marginal.varied is not None:
        each = np.array([density(values) for values in marginal.varied])
        # Differences of the same random numbers have less noise than the densities.
        low, high = np.quantile(each[1:] - each[0], [0.025, 0.975], axis=0)
        band = np.maximum(here + low, 0.0), here + high
    return Density(
        np.exp(centres) if wide else centres,
        here,
        None if true is None else density(true),
        wide,
        band,
    )


def draw_density(ax: Axes, marginal: Marginal) -> None:
    """Draw the density of recovered and true values, on a logarithmic axis if they are wide."""
    density = density_of(marginal)
    if density.band is None:
        ax.fill_between(density.x, density.recovered, color=MODEL, alpha=0.2, lw=0)
    else:
        label = "95 % interval, point by point"
        ax.fill_between(density.x, *density.band, color=MODEL, alpha=0.3, lw=0, label=label)
    ax.plot(density.x, density.recovered, color=MODEL, label="recovered")
    if density.true is not None:
        ax.plot(density.x, density.true, color=TRUTH, ls="--", label="truth")
    if density.wide:
        logarithmic(ax)
    ax.set_ylim(bottom=0)
    ax.set_xlabel(axis_label(readable(marginal.name), marginal.units))
    ax.set_ylabel("density of the logarithm" if density.wide else "density")


def draw_law_parameters(
    figure: SubFigure,
    population: xr.Dataset,
    truth: xr.Dataset | None,
    oracle: xr.Dataset | None,
) -> None:
    """Draw every parameter of a law with its interval.

    A few parameters have an axis each, since sizes differ. Many parameters share axes: one for the
    means and one for the standard deviations.

    Parameters
    ----------
    population : Dataset
        ``law``, and optionally ``law_lower`` and ``law_upper``.
    truth, oracle : Dataset, optional
        ``law``.
    """
    names = [str(n) for n in population["law_parameter"].values]
    if len(names) <= _STRIPS:
        axes = figure.subplots(len(names), 1, squeeze=False)[:, 0]
        for i, (ax, name) in enumerate(zip(axes, names, strict=True)):
            _strip(ax, [i], population, truth, oracle)
            _alone(ax, f"{readable(name)}: {_in_words(population, truth, i)}", len(names))
    else:
        groups = _groups(names)
        axes = figure.subplots(1, len(groups), squeeze=False)[0]
        for ax, (title, rows) in zip(axes, groups, strict=True):
            _strip(ax, rows, population, truth, oracle)
            _together(ax, title, [names[i] for i in rows], population["law"].values[rows])
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2)


def _groups(names: list[str]) -> list[tuple[str, list[int]]]:
    """Return titles and rows: means, standard deviations, and others."""
    rows = {kind: [i for i, n in enumerate(names) if n.endswith(kind)] for kind in _KINDS}
    rows[""] = [i for i, n in enumerate(names) if not n.endswith(_KINDS)]
    titles = {"_mean": "Means", "_standard_deviation": "Standard deviations", "": "Others"}
    groups = [(titles[kind], chosen) for kind, chosen in rows.items() if chosen]
    return groups if len(groups) > 1 else [("Parameters of the law", groups[0][1])]


def _alone(ax: Axes, title: str, count: int) -> None:
    ax.set_title(title, fontsize=11.5 if count <= 4 else 10)
    ax.set_ylim(-1, 1)
    # An empty label keeps the axis away from the edge of the figure.
    ax.set_yticks([0], ["   "])
    ax.tick_params(axis="y", length=0)
    if count > 4:
        ax.tick_params(axis="x", labelsize=8.5, pad=1)
    ax.grid(axis="y", visible=False)
    ax.margins(x=0.15)
    ax.spines["left"].set_visible(False)


def _together(ax: Axes, title: str, names: list[str], values: np.ndarray) -> None:
    step = -(-len(names) // _NAMES)
    shown = range(0, len(names), step)
    stems = [readable(names[i].removesuffix(_KINDS[0]).removesuffix(_KINDS[1])) for i in shown]
    ax.set_yticks(shown, stems, fontsize=9 if len(names) <= 25 else 7)
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.set_title(title)
    if is_wide(values):
        logarithmic(ax)
    else:
        ax.locator_params(axis="x", nbins=4)


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
    size = 6 if len(rows) <= 25 else 4
    if "law_lower" in population:
        low, high = population["law_lower"].values[rows], population["law_upper"].values[rows]
        ax.hlines(height, low, high, color=MODEL, lw=size / 2, alpha=0.5, label="95 % interval")
    if truth is not None:
        true = truth["law"].values[rows]
        ax.vlines(true, height - 0.45, height + 0.45, color=TRUTH, ls="--", label="truth")
    ax.plot(values, height, "o", color=MODEL, ms=size, label="recovered")
    if oracle is not None:
        known = oracle["law"].values[rows]
        ax.plot(known, height, "D", color=ORACLE, ms=size, mfc="none", mew=1.6, label="noise known")
