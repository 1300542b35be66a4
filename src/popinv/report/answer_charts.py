"""Charts of the recovered law: densities and pairs of parameters, ranges of fields."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import xarray as xr

from popinv.charts.description import Axis, Cloud, Mark, Panel, Points
from popinv.charts.page_chart import Chart
from popinv.charts.plotly_writer import page_figure, page_grid
from popinv.charts.style import DATA, MODEL, TRUTH, readable
from popinv.figures.batch import batch_panel
from popinv.figures.estimate_pairs import EstimatePairs
from popinv.figures.law import (
    FieldDraws,
    MarginalDraws,
    field_densities,
    range_of_fields,
    range_panel,
)
from popinv.figures.marginals import Marginal, density_panel
from popinv.figures.pairs import SHARES, PairDraws, ends_of, joint_panel
from popinv.report.formats import rounded


def added_chart(batch: xr.Dataset) -> Chart:
    """Return the parameters of added systems beside those of the earlier ones."""
    statement = str(batch.attrs["statement"])
    told = f"{statement[0].upper()}{statement[1:]}."
    return Chart(
        "added-systems",
        "Parameters of the added systems",
        told,
        f"Parameters of the added and of the earlier systems, with 95 % intervals. {told}",
        page_figure([batch_panel(batch)], 120 + 34 * batch.sizes["parameter"]),
        wide=True,
    )


def law_charts(draws: FieldDraws | MarginalDraws) -> list[Chart]:
    """Return densities of the recovered law's parameters, and their pairs or the field's range."""
    if isinstance(draws, MarginalDraws):
        panels = [density_panel(each) for each in draws.marginals]
        densities = _densities(draws.marginals, panels)
        return [densities] if draws.pairs is None else [densities, pair_chart(draws.pairs)]
    densities = _densities((draws.middle, *draws.beside), field_densities(draws))
    return [densities, _field_range(draws)]


def _densities(marginals: Sequence[Marginal], panels: Sequence[Panel]) -> Chart:
    told = "; ".join(f"{readable(each.name)} {_range_of(each)}" for each in marginals)
    columns = min(len(panels), _COLUMNS)
    named = [replace(panel, title="", y=replace(panel.y, labels=False)) for panel in panels]
    return Chart(
        "densities",
        "Distribution over the population",
        "Densities of the parameters over the systems."
        if len(panels) > 1
        else "Density over the systems.",
        f"Densities over the population. From 5 to 95 %: {told}.",
        page_grid(named, columns, 60 + _HEIGHT * -(-len(panels) // columns)),
        wide=len(panels) > 1,
    )


def _range_of(marginal: Marginal) -> str:
    """Return the range of most of the population; the table has the medians."""
    low, high = np.quantile(marginal.recovered, (0.05, 0.95))
    words = f"from {rounded(low, 3)} to {rounded(high, 3)}"
    if marginal.true is None:
        return words
    low, high = np.quantile(marginal.true, (0.05, 0.95))
    return f"{words}, truly from {rounded(low, 3)} to {rounded(high, 3)}"


def _field_range(draws: FieldDraws) -> Chart:
    low, mean, high = range_of_fields(draws.recovered)
    middle = len(mean) // 2
    return Chart(
        "field-range",
        f"Range of the {draws.quantity}",
        "Point by point, over the population"
        + (", beside the range of the true law." if draws.true is not None else "."),
        f"Pointwise range of the {draws.quantity} under the recovered law; in the middle of the "
        f"domain from {rounded(low[middle], 3)} to {rounded(high[middle], 3)}, mean "
        f"{rounded(mean[middle], 3)}.",
        page_figure([range_panel(draws)]),
    )


# Columns of densities, and pixels of a row.
_COLUMNS, _HEIGHT = 3, 250
# Pixels of a panel of a square of parameters.
_PANEL = 170
# The share of its panel that a cloud of draws leaves free on each side.
_MARGIN = 0.08


def _square(count: int, panel: Callable[[int, int], Panel]) -> tuple[list[Panel | None], int, int]:
    """Return the panels of parameters j across and i upwards, their columns and their height.

    Those below the diagonal of a square of ``count`` parameters are there, and only the outer ones
    have labels.
    """
    side = count - 1
    panels: list[Panel | None] = []
    for i in range(1, count):
        for j in range(side):
            if j >= i:
                panels.append(None)
                continue
            each = panel(i, j)
            x, y = replace(each.x, labels=i == side), replace(each.y, labels=j == 0)
            panels.append(replace(each, x=x, y=y))
    return panels, side, 90 + max(330, _PANEL * side)


def pair_chart(draws: PairDraws) -> Chart:
    """Return the joint density of each two parameters, with their correlation."""
    marginals, correlations = draws.marginals, draws.correlations

    def panel(i: int, j: int) -> Panel:
        each = joint_panel(marginals[j], marginals[i])
        x, y = (
            replace(given, limits=ends_of(marginals[k]), ticks=5)
            for given, k in ((each.x, j), (each.y, i))
        )
        told = correlations.in_words(i, j)
        title = f"{told[0]} ({told[1]})" if correlations.lower is not None else told[0]
        return replace(each, x=replace(x, steps=()), y=replace(y, steps=()), title=title)

    words = "; ".join(
        f"{readable(marginals[j].name)} and {readable(marginals[i].name)} have the correlation "
        f"{', '.join(correlations.in_words(i, j))}"
        for i in range(len(marginals))
        for j in range(i)
    )
    shares = " and ".join(f"{100 * share:.0f}" for share in SHARES)
    return Chart(
        "pairs",
        "Two parameters together",
        f"Joint densities. The contours hold {shares} % of the systems. Above each are the "
        "correlation of the parameters after their transforms, and its 95 % interval.",
        f"Contours of the joint densities of two parameters. {words}.",
        page_grid(*_square(len(marginals), panel)),
        wide=True,
    )


def estimate_pair_chart(pairs: EstimatePairs | None) -> Chart | None:
    """Return the draws about the estimate two by two, or None if there are none."""
    if pairs is None:
        return None
    count = len(pairs.names)
    names = [readable(name) for name in pairs.names]
    every = np.vstack([pairs.draws, pairs.estimate, pairs.true])
    low, high = np.nanmin(every, axis=0), np.nanmax(every, axis=0)
    pad = _MARGIN * (high - low)
    axes = [
        Axis(name.replace(" ", "\n"), limits=(float(first), float(last)), ticks=3)
        for name, first, last in zip(names, low - pad, high + pad, strict=True)
    ]

    def panel(i: int, j: int) -> Panel:
        marks: list[Mark] = [
            Cloud(pairs.draws[:, j], pairs.draws[:, i], colour=MODEL, alpha=0.45, label="draws"),
            Points(pairs.estimate[j], pairs.estimate[i], "cross", label="the answer", colour=DATA),
        ]
        if np.isfinite(pairs.true[[i, j]]).all():
            marks.append(Points(pairs.true[j], pairs.true[i], "x", label="truth", colour=TRUTH))
        return Panel(axes[j], axes[i], marks)

    correlation = pairs.correlation
    couples = sorted(
        ((i, j) for i in range(count) for j in range(i)), key=lambda c: -abs(correlation[c])
    )
    told = "; ".join(f"{names[j]} and {names[i]} {correlation[i, j]:.2f}" for i, j in couples[:5])
    told = told.replace("-", "−")
    more = (
        f" The {count} of {pairs.count} parameters with the strongest correlations are shown."
        if pairs.count > count
        else ""
    )
    return Chart(
        "estimate-pairs",
        "Parameters of law and noise together",
        "Each dot is a draw of the estimate's normal law. Parameters in a narrow oblique cloud are "
        "determined together, not one by one."
        f"{more} Strongest correlations: {told}.",
        f"Scatter of the draws about the estimate, two parameters at a time. Correlations: {told}.",
        page_grid(*_square(count, panel)),
        wide=True,
    )
