"""Charts of the recovered law: its parameters with their intervals, densities, fields."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from popinv.charts.description import Axis, Line, Mark, Panel, Points
from popinv.charts.page_chart import Chart
from popinv.charts.plotly_writer import page_figure, page_grid
from popinv.charts.style import MODEL, ORACLE, TRUTH, axis_label
from popinv.figures.law import (
    FieldDraws,
    MarginalDraws,
    field_densities,
    range_of_fields,
    range_panel,
    sample_marks,
)
from popinv.figures.marginals import Marginal, density_panel
from popinv.judgement.answer import RecoveredParameter
from popinv.report.formats import readable, rounded
from popinv.report.pair_charts import pair_charts

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
    shown = list(parameters)[:_STRIPS]
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
