"""The recovered law of the parameters, with the truth if it is known."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import xarray as xr

from popinv.charts.description import (
    Axis,
    Band,
    Grid,
    HeatMap,
    Legend,
    Line,
    Mark,
    Panel,
    Parts,
    Sheet,
)
from popinv.charts.style import MODEL, TRUTH, readable
from popinv.figures.marginals import Marginal, density_panel, law_parameters
from popinv.figures.pairs import PairDraws, pairs_grid

EXAMPLES = 3
"""Fields that are shown as examples."""

# A law with more parameters needs a higher figure.
_FIT = 30
_CORRELATION = "_correlation"
# Inches of a panel of two parameters.
_PANEL = 1.9
# Share of the height of a panel for a legend above.
_LEGEND = 0.25


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


def draw_law(
    population: xr.Dataset,
    draws: FieldDraws | MarginalDraws,
    truth: xr.Dataset | None = None,
    oracle: xr.Dataset | None = None,
) -> Sheet:
    """Return the law's parameters with intervals, and the law's distribution of systems.

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
    height = 8 + min(6, 0.12 * max(0, count - _FIT))
    if isinstance(draws, FieldDraws):
        body = _field(population, draws, truth, oracle)
        return Sheet(title, 12 if draws.beside else 11, 10 if draws.beside else height, body)
    pairs, marginals = draws.pairs, draws.marginals
    # Correlations stand beside the joint densities, if all parameters do.
    beside = pairs is not None and len(marginals) == draws.count
    every = population["law_parameter"].values.astype(str)
    shown = [i for i, name in enumerate(every) if not (beside and name.endswith(_CORRELATION))]
    stated = [each if each is None else _rows(each, every[shown]) for each in (truth, oracle)]
    parameters = law_parameters(population.isel(law_parameter=shown), *stated)
    if pairs is not None:
        side = max(5.5, _PANEL * len(marginals))
        body = Parts([parameters, pairs_grid(pairs)], shares=(5.5, side))
        return Sheet(title, 5.5 + side, max(height, side), body)
    above = ""
    if len(marginals) < draws.count:
        above = f"Marginals of the {len(marginals)} of {draws.count} parameters that vary most"
    columns = 1 if len(marginals) <= 3 else 2
    densities = Grid([density_panel(m) for m in marginals], columns, legend=2, title=above)
    return Sheet(title, 11, height, Parts([parameters, densities], shares=(1, 1)))


def _rows(dataset: xr.Dataset, names: np.ndarray) -> xr.Dataset:
    return dataset.isel(law_parameter=np.isin(dataset["law_parameter"].values.astype(str), names))


def _field(
    population: xr.Dataset,
    draws: FieldDraws,
    truth: xr.Dataset | None,
    oracle: xr.Dataset | None,
) -> Parts:
    ratios = (1.35, 1) if population.sizes["law_parameter"] > 3 else (1, 1)
    range_ = range_panel(draws)
    range_ = replace(range_, legend=Legend("upper center", 3, 8), y=replace(range_.y, room=_LEGEND))
    middle, *others = field_densities(draws)
    densities = [replace(middle, legend=Legend()), *others]
    left = Parts([law_parameters(population, truth, oracle), Grid([range_])], True, ratios)
    return Parts([left, Parts([Grid(densities), _examples(draws)], True, ratios)], shares=(1, 1))


def field_densities(draws: FieldDraws) -> list[Panel]:
    """Return the densities of a field at the mid-point and of the parameters beside it."""
    title = f"{draws.quantity.capitalize()} at the mid-point"
    return [
        density_panel(draws.middle, title, draws.quantity),
        *(density_panel(each, readable(each.name).capitalize()) for each in draws.beside),
    ]


def range_of_fields(fields: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the 5 % quantile, the mean and the 95 % quantile at each point."""
    # The mean is smooth; the median of a field with two values jumps between them.
    low, high = np.quantile(fields, (0.05, 0.95), axis=0)
    return low, fields.mean(axis=0), high


def range_panel(draws: FieldDraws) -> Panel:
    """Return the pointwise range of a field over the population."""
    x = draws.points
    low, mean, high = range_of_fields(draws.recovered)
    marks: list[Mark] = [
        Band(x, low, high, colour=MODEL, alpha=0.2, label="recovered, 5–95 %"),
        Line(x, mean, colour=MODEL, label="recovered, mean"),
    ]
    if draws.true is not None:
        labels = "truth", "truth, mean", "truth, 95 %"
        marks += [
            Line(x, curve, "dash", 1.5, colour=TRUTH, label=label, legend=label == "truth")
            for label, curve in zip(labels, range_of_fields(draws.true), strict=True)
        ]
    where = "x" if draws.squares is None else "x, at y = 0.5"
    title = f"Pointwise range of the {draws.quantity}"
    return Panel(Axis(where), Axis(draws.quantity), marks, title)


def sample_marks(draws: FieldDraws, i: int, legend: bool = True) -> list[Mark]:
    """Return field i of the recovered law and, with the same random numbers, of the true one."""
    x = draws.points
    marks: list[Mark] = [
        Line(x, draws.recovered[i], colour=MODEL, label="recovered", legend=legend)
    ]
    if draws.true is not None:
        label = "truth, same random numbers"
        marks.append(Line(x, draws.true[i], "dash", 1.4, colour=TRUTH, label=label, legend=legend))
    return marks


def _examples(draws: FieldDraws) -> Grid:
    if draws.squares is not None:
        return _squares(draws.quantity, *draws.squares)
    shown = range(min(EXAMPLES, len(draws.recovered)))
    marks = [mark for i in shown for mark in sample_marks(draws, i, legend=i == 0)]
    legend = Legend("upper center", 2, 8.5)
    y = Axis(draws.quantity, room=_LEGEND)
    return Grid([Panel(Axis("x"), y, marks, "Sample fields", legend=legend)])


def _squares(quantity: str, recovered: np.ndarray, true: np.ndarray | None) -> Grid:
    rows = [("recovered", recovered)] + ([] if true is None else [("true", true)])
    low = float(min(values.min() for _, values in rows))
    high = float(max(values.max() for _, values in rows))
    blank = Axis(places=[])
    panels = [
        Panel(
            blank,
            Axis(f"{whose} law" if i == 0 else "", places=[]),
            [HeatMap(value, (0, 1, 0, 1), low, high)],
        )
        for whose, values in rows
        for i, value in enumerate(values)
    ]
    title = "Sample fields" + ("" if true is None else ", the same random numbers in each column")
    return Grid(panels, len(recovered), title=title, scale=quantity)
