"""Charts of a law's parameters two by two: joint densities and correlations."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from popinv.charts.plotly_writer import DIVERGING, MODEL, TRUTH, Chart, axis, faint, new_chart
from popinv.charts.style import axis_label
from popinv.figures.joint import SHARES, Correlations, PairDraws, joint_of
from popinv.figures.marginals import Marginal, density_of
from popinv.report.words import readable

PANEL = 170
"""Pixels of a panel of a square of parameters."""

# Share of the width of a panel between panels.
_GAP = 0.08


def pair_charts(draws: PairDraws) -> list[Chart]:
    """Return the joint density of each two parameters, and the matrix of correlations."""
    return [_joint(draws), _correlations(draws)]


def _joint(draws: PairDraws) -> Chart:
    marginals, side = draws.marginals, len(draws.marginals) - 1
    figure = new_chart("", "", height=90 + max(330, PANEL * side))
    figure.update_layout(xaxis={"visible": False}, yaxis={"visible": False})
    for i in range(1, side + 1):
        for j in range(i):
            number = 1 + (i - 1) * side + j
            at = {"xaxis": f"x{number}", "yaxis": f"y{number}"} if number > 1 else {}
            _place(figure, marginals, i, j, number)
            _contours(figure, marginals[j], marginals[i], at, labelled=number == 1)
    words = "; ".join(
        f"{readable(marginals[j].name)} and {readable(marginals[i].name)} have the correlation "
        f"{draws.correlations.in_words(i, j)[0]}"
        for i in range(side + 1)
        for j in range(i)
    )
    shares = " and ".join(f"{100 * share:.0f}" for share in SHARES)
    return Chart(
        "pairs",
        "Two parameters together",
        f"Joint densities. The contours hold {shares} % of the systems.",
        f"Contours of the joint densities of two parameters. {words}.",
        figure,
        wide=True,
    )


def _place(figure: go.Figure, marginals: Sequence[Marginal], i: int, j: int, number: int) -> None:
    """Add the axes of parameter j across and parameter i upwards."""
    ends = []
    for each in (marginals[j], marginals[i]):
        density = density_of(each)
        range_ = np.log10(density.x[[0, -1]]) if density.wide else density.x[[0, -1]]
        ends.append((axis_label(readable(each.name), each.units), range_, density.wide))
    add_panel(figure, len(marginals) - 1, i, j, number, ends)


def add_panel(
    figure: go.Figure,
    side: int,
    i: int,
    j: int,
    number: int,
    axes: Sequence[tuple[str, np.ndarray, bool]],
    ticks: int = 5,
) -> None:
    """Add the axes of a panel below the diagonal of a square of parameters.

    Parameters
    ----------
    side : int
        Number of panels in a column.
    i, j, number : int
        Row, from 1, column, from 0, and number of the axes.
    axes : sequence of (str, ndarray of shape (2,), bool)
        Title, range and whether it is logarithmic, across and upwards.
    ticks : int
        The most of them on an axis.
    """
    suffix = "" if number == 1 else str(number)
    left, low, gap = j / side, 1 - i / side, _GAP / side
    domains = [left, left + (1 - _GAP) / side], [low + gap, low + 1 / side]
    for letter, other, domain, ends, (title, range_, wide) in zip(
        "xy", "yx", domains, (i == side, j == 0), axes, strict=True
    ):
        settings = axis(
            title if ends else "",
            domain=domain,
            anchor=f"{other}{suffix}",
            type="log" if wide else "linear",
            range=range_.tolist(),
            showticklabels=ends,
            nticks=ticks,
        )
        figure.update_layout({f"{letter}axis{suffix}": {**settings, "visible": True}})


def _contours(
    figure: go.Figure, first: Marginal, second: Marginal, at: dict[str, str], labelled: bool
) -> None:
    joint = joint_of(first, second)
    levels = {"start": SHARES[0], "end": SHARES[1], "size": SHARES[1] - SHARES[0]}
    for share, colour, dash, name in (
        (joint.recovered, MODEL, "solid", "recovered"),
        (joint.true, TRUTH, "dash", "truth"),
    ):
        if share is not None:
            figure.add_contour(
                x=joint.x,
                y=joint.y,
                z=share.round(3),
                contours={**levels, "coloring": "lines"},
                line={"width": 2, "dash": dash},
                colorscale=[[0, colour], [1, colour]],
                showscale=False,
                showlegend=labelled,
                legendgroup=name,
                name=name,
                hoverinfo="skip",
                meta={"x": readable(first.name), "y": readable(second.name)},
                **at,
            )


def _correlations(draws: PairDraws) -> Chart:
    names = [readable(each.name) for each in draws.marginals]
    correlations, count = draws.correlations, len(names)
    figure = new_chart("", "", height=120 + 62 * count)
    below = np.tril(np.ones((count, count), dtype=bool), -1)
    figure.add_heatmap(
        z=np.where(below, correlations.estimate, np.nan)[1:, :-1],
        x=names[:-1],
        y=names[1:],
        zmin=-1,
        zmax=1,
        colorscale=DIVERGING,
        text=[[_cell(correlations, i, j) for j in range(count - 1)] for i in range(1, count)],
        texttemplate="%{text}",
        hovertemplate="%{y}, %{x}: %{z:.3f}<extra></extra>",
        hoverongaps=False,
        xgap=3,
        ygap=3,
        colorbar={"title": {"text": "correlation"}, "thickness": 12},
    )
    figure.update_xaxes(type="category", showgrid=False, linecolor=faint(MODEL, 0.0), ticks="")
    figure.update_yaxes(
        type="category", showgrid=False, autorange="reversed", linecolor=faint(MODEL, 0.0), ticks=""
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
        figure,
    )


def _cell(correlations: Correlations, i: int, j: int) -> str:
    return "<br>".join(correlations.in_words(i, j)) if j < i else ""
