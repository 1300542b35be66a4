"""Charts of the recovered law: its parameters with their intervals, densities, pairs, fields."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import xarray as xr

from popinv.charts.description import Axis, Cloud, HeatMap, Line, Mark, Panel, Points
from popinv.charts.page_chart import Chart
from popinv.charts.plotly_writer import page_figure, page_grid
from popinv.charts.style import DATA, MODEL, ORACLE, TRUTH, axis_label
from popinv.figures.estimate_pairs import EstimatePairs
from popinv.figures.law import (
    FieldDraws,
    MarginalDraws,
    field_densities,
    range_of_fields,
    range_panel,
    sample_marks,
)
from popinv.figures.marginals import Marginal, density_panel
from popinv.figures.pairs import SHARES, Correlations, PairDraws, ends_of, joint_panel
from popinv.judgement.answer import RecoveredParameter
from popinv.report.formats import readable, rounded

# Number of parameters that get a strip each, and of fields that can be selected.
_STRIPS = 12
_FIELDS = 12


def parameter_chart(
    parameters: Sequence[RecoveredParameter], oracle: xr.Dataset | None = None
) -> Chart | None:
    """Return a strip for each parameter with interval, recovered value and truth, or None.

    Parameters
    ----------
    parameters : sequence of RecoveredParameter
        The first twelve are drawn; a table has all.
    oracle : Dataset, optional
        ``law``, estimated with the noise known.
    """
    shown = [p for p in parameters if p.determined][:_STRIPS]
    if oracle is None and all(p.lower is None and p.true is None for p in shown):
        # Dots alone, each on its own scale, carry less information than the table.
        return None
    known = {}
    if oracle is not None:
        values = zip(oracle["law_parameter"].values, oracle["law"].values, strict=True)
        known = {str(name): float(value) for name, value in values}
    count = len(shown)
    panels = [_strip(p, known.get(p.name) if p.kind == "law" else None) for p in shown]
    words = "; ".join(f"{p.kind} {readable(p.name)} {_in_words(p)}" for p in shown)
    more = f" The first {count} of {len(parameters)}." if count < len(parameters) else ""
    return Chart(
        "parameters",
        "The same drawn",
        f"Each parameter has its own scale. Noise known: an estimate with the noise known.{more}"
        if known
        else f"Each parameter has its own scale.{more}",
        f"Recovered parameters with intervals: {words}.",
        page_grid(panels, 1, 70 + 78 * count),
        wide=True,
    )


def _in_words(p: RecoveredParameter) -> str:
    text = rounded(p.value, 3)
    if p.lower is not None and p.upper is not None:
        text += f", 95 % interval {rounded(p.lower, 3)} to {rounded(p.upper, 3)}"
    return text if p.true is None else f"{text}, truth {rounded(p.true, 3)}"


def _strip(p: RecoveredParameter, oracle: float | None) -> Panel:
    """Return the strip of a parameter; parameters of different sizes share no axis."""
    marks: list[Mark] = []
    if p.lower is not None and p.upper is not None:
        ends, label = [p.lower, p.upper], "95 % interval"
        marks.append(Line(ends, 0.0, width=7, colour=MODEL, alpha=0.45, label=label))
    marks.append(Points(p.value, 0.0, size=7, colour=MODEL, label="recovered"))
    if oracle is not None:
        diamond = Points(
            oracle, 0.0, "diamond", 7, filled=False, colour=ORACLE, label="noise known"
        )
        marks.append(diamond)
    if p.true is not None:
        marks.append(Points(p.true, 0.0, "upright", 14, colour=TRUTH, label="truth"))
    seen = [v for v in (p.value, p.lower, p.upper, p.true, oracle) if v is not None]
    pad = 0.08 * (max(seen) - min(seen)) or 0.1 * abs(p.value) or 1.0
    return Panel(
        Axis(limits=(min(seen) - pad, max(seen) + pad), ticks=6),
        Axis(limits=(-1, 1), bare=True),
        marks,
        axis_label(f"{p.kind}: {readable(p.name)}", p.units),
    )


def law_charts(draws: FieldDraws | MarginalDraws) -> list[Chart]:
    """Return densities of the recovered law's parameters, or the range and samples of a field."""
    if isinstance(draws, MarginalDraws):
        densities = [_density(each, density_panel(each)) for each in draws.marginals]
        return densities if draws.pairs is None else [*densities, *pair_charts(draws.pairs)]
    marginals, panels = (draws.middle, *draws.beside), field_densities(draws)
    charts = [_density(each, panel) for each, panel in zip(marginals, panels, strict=True)]
    return [*charts, _field_range(draws), _fields(draws)]


def _density(marginal: Marginal, panel: Panel) -> Chart:
    low, middle, high = np.quantile(marginal.recovered, (0.05, 0.5, 0.95))
    words = f"median {rounded(middle, 3)}, 5 to 95 % from {rounded(low, 3)} to {rounded(high, 3)}"
    if marginal.true is not None:
        low, middle, high = np.quantile(marginal.true, (0.05, 0.5, 0.95))
        words += (
            f"; the true one: median {rounded(middle, 3)}, from {rounded(low, 3)} to "
            f"{rounded(high, 3)}"
        )
    return Chart(
        f"density-{marginal.name}",
        panel.title or readable(marginal.name).capitalize(),
        f"Distribution over the population: {words}.",
        f"Density of the {readable(marginal.name)} over the population. Recovered: {words}.",
        page_figure([panel]),
    )


def _field_range(draws: FieldDraws) -> Chart:
    low, mean, high = range_of_fields(draws.recovered)
    middle = len(mean) // 2
    return Chart(
        "field-range",
        f"Range of the {draws.quantity}",
        "Point by point, over the population"
        + (", beside that of the true law." if draws.true is not None else "."),
        f"Pointwise range of the {draws.quantity} under the recovered law; in the middle of the "
        f"domain from {rounded(low[middle], 3)} to {rounded(high[middle], 3)}, mean "
        f"{rounded(mean[middle], 3)}.",
        page_figure([range_panel(draws)]),
    )


def _fields(draws: FieldDraws) -> Chart:
    count = min(_FIELDS, len(draws.recovered))
    both = [draws.recovered[:count]] + ([] if draws.true is None else [draws.true[:count]])
    low, high = min(v.min() for v in both), max(v.max() for v in both)
    pad = 0.05 * (high - low) or 0.5
    x = Axis("x" if draws.squares is None else "x, at y = 0.5")
    y = Axis(draws.quantity, limits=(float(low - pad), float(high + pad)))
    panels = [Panel(x, y, sample_marks(draws, i)) for i in range(count)]
    beside = "" if draws.true is None else " and, with the same random numbers, from the true one"
    return Chart(
        "fields",
        "Single systems",
        f"The {draws.quantity} of systems drawn from the recovered law{beside}.",
        f"Sample fields of the {draws.quantity}, one system at a time.",
        page_figure(panels, choices=True),
        control="slider",
        control_label="System",
        choices=tuple(str(i + 1) for i in range(count)),
    )


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
