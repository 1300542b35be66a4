"""Charts of parameters two by two: joint densities, correlations, draws about the estimate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from popinv.charts.description import Axis, Cloud, HeatMap, Mark, Panel, Points
from popinv.charts.page_chart import Chart
from popinv.charts.plotly_writer import page_figure, page_grid
from popinv.charts.style import DATA, MODEL, TRUTH
from popinv.figures.estimate_pairs import EstimatePairs
from popinv.figures.joint import SHARES, Correlations, PairDraws
from popinv.figures.pairs import ends_of, joint_panel
from popinv.report.formats import readable

# Pixels of a panel of a square of parameters.
_PANEL = 170
# The share of its panel that a cloud of draws leaves free on each side.
_MARGIN = 0.08


def pair_charts(draws: PairDraws) -> list[Chart]:
    """Return the joint density of each two parameters, and the matrix of correlations."""
    return [_joint(draws), _correlations(draws)]


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


def _joint(draws: PairDraws) -> Chart:
    marginals = draws.marginals

    def panel(i: int, j: int) -> Panel:
        each = joint_panel(marginals[j], marginals[i])
        x, y = (
            replace(given, limits=ends_of(marginals[k]), ticks=5)
            for given, k in ((each.x, j), (each.y, i))
        )
        return replace(each, x=replace(x, steps=()), y=replace(y, steps=()))

    words = "; ".join(
        f"{readable(marginals[j].name)} and {readable(marginals[i].name)} have the correlation "
        f"{draws.correlations.in_words(i, j)[0]}"
        for i in range(len(marginals))
        for j in range(i)
    )
    shares = " and ".join(f"{100 * share:.0f}" for share in SHARES)
    return Chart(
        "pairs",
        "Two parameters together",
        f"Joint densities. The contours hold {shares} % of the systems.",
        f"Contours of the joint densities of two parameters. {words}.",
        page_grid(*_square(len(marginals), panel)),
        wide=True,
    )


def _correlations(draws: PairDraws) -> Chart:
    names = [readable(each.name) for each in draws.marginals]
    correlations, count = draws.correlations, len(names)
    below = np.tril(np.ones((count, count), dtype=bool), -1)
    last = count - 1.5
    cells = HeatMap(
        np.where(below, correlations.estimate, np.nan)[1:, :-1],
        (-0.5, last, last, -0.5),
        -1,
        1,
        colours="diverging",
        scale="correlation",
        texts=[[_cell(correlations, i, j) for j in range(count - 1)] for i in range(1, count)],
    )
    places = np.arange(count - 1)
    panel = Panel(
        Axis(places=places, names=names[:-1], grid=False),
        Axis(places=places, names=names[1:], grid=False),
        [cells],
    )
    words = "; ".join(
        f"{names[j]} and {names[i]} {', '.join(correlations.in_words(i, j))}"
        for i in range(count)
        for j in range(i)
    )
    more = ", and the true ones" if correlations.true is not None else ""
    interval = " with 95 % intervals" if correlations.lower is not None else ""
    return Chart(
        "correlations",
        "Correlations",
        f"Correlations over the population{interval}{more}, of the parameters after their "
        "transforms.",
        f"Correlations: {words}.",
        page_figure([panel], 180 + 62 * count),
    )


def _cell(correlations: Correlations, i: int, j: int) -> str:
    return "<br>".join(correlations.in_words(i, j)) if j < i else ""


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
    source = (
        "Each dot is the estimate from resampled systems."
        if pairs.resampled
        else "Each dot is a draw of the estimate's normal law."
    )
    more = (
        f" The {count} of {pairs.count} parameters with the strongest correlations are shown."
        if pairs.count > count
        else ""
    )
    return Chart(
        "estimate-pairs",
        "Parameters of law and noise together",
        f"{source} Parameters in a narrow oblique cloud are determined together, not one by one."
        f"{more} Strongest correlations: {told}.",
        f"Scatter of the draws about the estimate, two parameters at a time. Correlations: {told}.",
        page_grid(*_square(count, panel)),
        wide=True,
    )
