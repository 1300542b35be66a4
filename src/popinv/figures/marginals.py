"""Densities of single quantities, and the parameters of a law."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from scipy.ndimage import gaussian_filter1d

from popinv.charts.description import Axis, Band, Grid, Line, Mark, Panel, Points, Segments
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


def logarithmic(label: str = "", **settings: Any) -> Axis:
    """Return a logarithmic axis that shows several numbers even within a decade."""
    return Axis(label, "log", steps=(1, 3), ticks=7, **settings)


@dataclass(frozen=True)
class PopulationDensity:
    """Densities of a quantity over the population, all of shape (n,); ``true`` may be None.

    ``band`` holds the lower and the upper ends of pointwise 95 % intervals of the recovered
    density, if they are known.

    If ``wide``, ``x`` is best shown on a logarithmic axis, and the density refers to the natural
    logarithm, so that areas are shares of the population on either axis.
    """

    x: np.ndarray
    recovered: np.ndarray
    true: np.ndarray | None
    wide: bool
    band: tuple[np.ndarray, np.ndarray] | None = None


def density_of(marginal: Marginal) -> PopulationDensity:
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
    return PopulationDensity(
        np.exp(centres) if wide else centres,
        here,
        None if true is None else density(true),
        wide,
        band,
    )


def density_panel(marginal: Marginal, title: str = "", label: str | None = None) -> Panel:
    """Return the density of recovered and true values, on a logarithmic axis if they are wide."""
    density = density_of(marginal)
    x, marks = density.x, list[Mark]()
    if density.band is None:
        marks.append(Band(x, 0.0, density.recovered, colour=MODEL, alpha=0.2))
    else:
        interval = "95 % interval, point by point"
        marks.append(Band(x, *density.band, colour=MODEL, alpha=0.3, label=interval))
    marks.append(Line(x, density.recovered, colour=MODEL, label="recovered"))
    if density.true is not None:
        marks.append(Line(x, density.true, "dash", colour=TRUTH, label="truth"))
    name = axis_label(readable(marginal.name), marginal.units) if label is None else label
    return Panel(
        logarithmic(name) if density.wide else Axis(name),
        Axis("density of the logarithm" if density.wide else "density", limits=(0, None)),
        marks,
        title,
    )


def law_parameters(
    population: xr.Dataset, truth: xr.Dataset | None, oracle: xr.Dataset | None
) -> Grid:
    """Return every parameter of a law with its interval.

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
    if len(names) > _STRIPS:
        panels = [
            _together(
                title,
                [names[i] for i in rows],
                population["law"].values[rows],
                _strip(rows, population, truth, oracle),
            )
            for title, rows in _groups(names)
        ]
        return Grid(panels, len(panels), legend=2)
    few = len(names) <= 4
    x = Axis(margin=0.15, size=None if few else 8.5)
    panels = [
        Panel(
            x,
            Axis(limits=(-1, 1), bare=True, grid=False),
            _strip([i], population, truth, oracle),
            f"{readable(name)}: {_in_words(population, truth, i)}",
            11.5 if few else 10,
        )
        for i, name in enumerate(names)
    ]
    return Grid(panels, legend=2)


def _groups(names: list[str]) -> list[tuple[str, list[int]]]:
    """Return titles and rows: means, standard deviations, and others."""
    rows = {kind: [i for i, n in enumerate(names) if n.endswith(kind)] for kind in _KINDS}
    rows[""] = [i for i, n in enumerate(names) if not n.endswith(_KINDS)]
    titles = {"_mean": "Means", "_standard_deviation": "Standard deviations", "": "Others"}
    groups = [(titles[kind], chosen) for kind, chosen in rows.items() if chosen]
    return groups if len(groups) > 1 else [("Parameters of the law", groups[0][1])]


def _together(title: str, names: list[str], values: np.ndarray, marks: list[Mark]) -> Panel:
    """Return the panel of many parameters below each other."""
    shown = range(0, len(names), -(-len(names) // _NAMES))
    stems = [readable(names[i].removesuffix(_KINDS[0]).removesuffix(_KINDS[1])) for i in shown]
    return Panel(
        logarithmic() if is_wide(values) else Axis(ticks=4),
        Axis(
            places=shown,
            names=stems,
            limits=(len(names) - 0.5, -0.5),
            size=9 if len(names) <= 25 else 7,
        ),
        marks,
        title,
    )


def _in_words(population: xr.Dataset, truth: xr.Dataset | None, i: int) -> str:
    words = f"{population['law'].values[i]:.3g}"
    if "law_lower" in population:
        low, high = population["law_lower"].values[i], population["law_upper"].values[i]
        words += f" ({low:.3g} to {high:.3g})"
    return words if truth is None else f"{words}, true {truth['law'].values[i]:.3g}"


def _strip(
    rows: list[int], population: xr.Dataset, truth: xr.Dataset | None, oracle: xr.Dataset | None
) -> list[Mark]:
    height = np.arange(len(rows), dtype=float)
    values = population["law"].values[rows]
    size = 6 if len(rows) <= 25 else 4
    marks: list[Mark] = []
    if "law_lower" in population:
        low, high = population["law_lower"].values[rows], population["law_upper"].values[rows]
        marks.append(
            Segments(
                low, height, high, height,
                width=size / 2, colour=MODEL, alpha=0.5, label="95 % interval",
            )
        )  # fmt: skip
    if truth is not None:
        true, half = truth["law"].values[rows], 0.45
        ends = height - half, true, height + half
        marks.append(Segments(true, *ends, dash="dash", colour=TRUTH, label="truth"))
    marks.append(Points(values, height, size=size, colour=MODEL, label="recovered"))
    if oracle is not None:
        known = oracle["law"].values[rows]
        marks.append(
            Points(known, height, "diamond", size, filled=False, colour=ORACLE, label="noise known")
        )
    return marks
