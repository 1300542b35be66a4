"""The recovered law of the parameters, with the truth if it is known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from popinv.charts.style import MODEL, SEQUENTIAL, TRUTH, new_figure, readable, styled
from popinv.figures.joint import PairDraws
from popinv.figures.marginals import Marginal, draw_density, draw_law_parameters
from popinv.figures.pairs import draw_pairs

_EXAMPLES = 3
# A law with more parameters needs a higher figure.
_FIT = 30
_CORRELATION = "_correlation"
# Inches of a panel of two parameters.
_PANEL = 1.9


@dataclass(frozen=True)
class FieldDraws:
    """Fields drawn from a law, the first of them as examples.

    Parameters
    ----------
    quantity : str
        Name of the field, for example "log-permeability".
    points : ndarray of shape (n,)
        The line on which ``recovered`` and ``true`` are evaluated.
    recovered, true : ndarray of shape (m, n); ``true`` may be None
        From the same random numbers, so corresponding rows are comparable.
    middle : Marginal
        The field at the mid-point of the domain, from more draws.
    beside : tuple of Marginal
        The parameters in addition to the field.
    squares : pair of ndarray of shape (examples, side, side), or None
        In two dimensions, the examples over the whole domain.
    """

    quantity: str
    points: np.ndarray
    recovered: np.ndarray
    true: np.ndarray | None
    middle: Marginal
    beside: tuple[Marginal, ...] = ()
    squares: tuple[np.ndarray, np.ndarray | None] | None = None


@dataclass(frozen=True)
class MarginalDraws:
    """Named parameters drawn from a law: some or all of ``count``.

    ``pairs`` has the same parameters, if the law allows them to depend on each other.
    """

    marginals: tuple[Marginal, ...]
    count: int
    pairs: PairDraws | None = None


@styled
def draw_law(
    population: xr.Dataset,
    draws: FieldDraws | MarginalDraws,
    truth: xr.Dataset | None = None,
    oracle: xr.Dataset | None = None,
) -> Figure:
    """Draw the law's parameters with intervals, and the law's distribution of systems.

    Parameters
    ----------
    population : Dataset
        ``law``, and optionally ``law_lower`` and ``law_upper``.
    draws : FieldDraws or MarginalDraws
    truth : Dataset, optional
        ``law``.
    oracle : Dataset, optional
        ``law``, estimated with the noise known.
    """
    title = "Recovered law of the parameters"
    title += " against the truth" if truth is not None else ""
    count = population.sizes["law_parameter"]
    beside = isinstance(draws, FieldDraws) and bool(draws.beside)
    height = 10 if beside else 8 + min(6, 0.12 * max(0, count - _FIT))
    pairs = draws.pairs if isinstance(draws, MarginalDraws) else None
    width, ratios = 12.0 if beside else 11.0, (1.0, 1.0)
    if pairs is not None:
        side = max(5.5, _PANEL * len(pairs.marginals))
        width, height, ratios = 5.5 + side, max(height, side), (5.5, side)
    figure = new_figure(title, width, height)
    left, right = figure.subfigures(1, 2, wspace=0.02, squeeze=False, width_ratios=ratios)[0]
    if isinstance(draws, FieldDraws):
        _field(left, right, population, draws, truth, oracle)
        return figure
    # Correlations stand beside the joint densities, if all parameters do.
    beside = pairs is not None and len(draws.marginals) == draws.count
    every = population["law_parameter"].values.astype(str)
    shown = [i for i, name in enumerate(every) if not (beside and name.endswith(_CORRELATION))]
    stated = [each if each is None else _rows(each, every[shown]) for each in (truth, oracle)]
    draw_law_parameters(left, population.isel(law_parameter=shown), *stated)
    marginals = draws.marginals
    if pairs is not None:
        draw_pairs(right, pairs)
        return figure
    columns = 1 if len(marginals) <= 3 else 2
    grid = right.subplots(-(-len(marginals) // columns), columns, squeeze=False)
    for ax, marginal in zip(grid.flat, marginals, strict=False):
        draw_density(ax, marginal)
    for ax in grid.flat[len(marginals) :]:
        ax.remove()
    handles, labels = grid.flat[0].get_legend_handles_labels()
    right.legend(handles, labels, loc="outside lower center", ncols=2)
    if len(marginals) < draws.count:
        words = f"the {len(marginals)} of {draws.count} parameters that vary most"
        right.suptitle(f"Marginals of {words}", fontsize=11.5, fontweight="normal")
    return figure


def _rows(dataset: xr.Dataset, names: np.ndarray) -> xr.Dataset:
    return dataset.isel(law_parameter=np.isin(dataset["law_parameter"].values.astype(str), names))


def _field(
    left: SubFigure,
    right: SubFigure,
    population: xr.Dataset,
    draws: FieldDraws,
    truth: xr.Dataset | None,
    oracle: xr.Dataset | None,
) -> None:
    ratios = (1.35, 1) if population.sizes["law_parameter"] > 3 else (1, 1)
    upper_left, lower_left = left.subfigures(
        2, 1, hspace=0.02, height_ratios=ratios, squeeze=False
    )[:, 0]
    draw_law_parameters(upper_left, population, truth, oracle)
    upper_right, lower_right = right.subfigures(
        2, 1, hspace=0.02, height_ratios=ratios, squeeze=False
    )[:, 0]
    _band(lower_left.subplots(), draws)
    grid = upper_right.subplots(1 + len(draws.beside), 1, squeeze=False)[:, 0]
    for ax, marginal in zip(grid, (draws.middle, *draws.beside), strict=True):
        draw_density(ax, marginal)
        ax.set_title(readable(marginal.name).capitalize())
    grid[0].set(title=f"{draws.quantity.capitalize()} at the mid-point", xlabel=draws.quantity)
    grid[0].legend()
    _examples(lower_right, draws)


def _range(fields: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    # The mean is smooth; the median of a field with two values jumps between them.
    low, high = np.quantile(fields, (0.05, 0.95), axis=0)
    return low, fields.mean(axis=0), high


def _room(ax: Axes) -> None:
    """Make room for a legend at the top."""
    bottom, top = ax.get_ylim()
    ax.set_ylim(bottom, top + 0.25 * (top - bottom))


def _band(ax: Axes, draws: FieldDraws) -> None:
    x = draws.points
    low, mean, high = _range(draws.recovered)
    ax.fill_between(x, low, high, color=MODEL, alpha=0.2, lw=0, label="recovered, 5–95 %")
    ax.plot(x, mean, color=MODEL, label="recovered, mean")
    if draws.true is not None:
        labels = "truth", "_truth, mean", "_truth, 95 %"
        for label, curve in zip(labels, _range(draws.true), strict=True):
            ax.plot(x, curve, color=TRUTH, ls="--", lw=1.5, label=label)
    ax.set_title(f"Pointwise range of the {draws.quantity}")
    ax.set(xlabel="x" if draws.squares is None else "x, at y = 0.5", ylabel=draws.quantity)
    _room(ax)
    ax.legend(ncols=3, loc="upper center", fontsize=8, columnspacing=1.0)


def _examples(figure: SubFigure, draws: FieldDraws) -> None:
    if draws.squares is not None:
        _squares(figure, draws.quantity, *draws.squares)
        return
    ax = figure.subplots()
    for i in range(min(_EXAMPLES, len(draws.recovered))):
        first = i == 0
        label = "recovered" if first else "_recovered"
        ax.plot(draws.points, draws.recovered[i], color=MODEL, label=label)
        if draws.true is not None:
            label = "truth, same random numbers" if first else "_truth, same random numbers"
            ax.plot(draws.points, draws.true[i], color=TRUTH, ls="--", lw=1.4, label=label)
    ax.set(title="Sample fields", xlabel="x", ylabel=draws.quantity)
    _room(ax)
    ax.legend(loc="upper center", ncols=2, fontsize=8.5)


def _squares(
    figure: SubFigure, quantity: str, recovered: np.ndarray, true: np.ndarray | None
) -> None:
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
    figure.colorbar(image, ax=grid, label=quantity)
