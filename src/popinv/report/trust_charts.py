"""Charts for judging the answer: the tests, the descent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from popinv.figures.arrangement import evenly
from popinv.report.look import (
    DATA,
    LIGHT,
    MODEL,
    TRUTH,
    Chart,
    faint,
    new_chart,
)
from popinv.report.words import readable, rounded

__all__ = ["descent_charts", "test_chart"]

# Number of parameters whose path can be selected, and of iterations along a path.
_PATHS = 24
_STEPS = 400
# Names of the tests on held-out systems, and their entries of metrics.json.
_TESTS = (
    ("held-out systems", "heldout_energy_distance", "heldout_energy_null_95", "heldout_p_value"),
    (
        "family of the noise",
        "noise_misfit_statistic",
        "noise_misfit_null_95",
        "noise_misfit_p_value",
    ),
)


def test_chart(metrics: Mapping[str, Any]) -> Chart | None:
    """Return the statistics of the two tests, with the bands in which they stay by chance."""
    tests = [
        (name, metrics[statistic], metrics[null], metrics[p])
        for name, statistic, null, p in _TESTS
        if null in metrics and p in metrics
    ]
    if not tests:
        return None
    figure = new_chart("statistic over its 95 % quantile", "", height=110 + 60 * len(tests))
    names = [name for name, *_ in tests]
    ratios = [statistic / null if null else np.nan for _, statistic, null, _ in tests]
    figure.add_bar(
        y=names,
        x=[1.0] * len(names),
        orientation="h",
        name="95 of 100 when the model is right",
        marker={"color": faint(MODEL, 0.2)},
        width=0.7,
        hoverinfo="skip",
    )
    figure.add_scatter(
        y=names,
        x=ratios,
        mode="markers",
        name="found",
        marker={"color": DATA, "size": 12, "symbol": "diamond"},
        text=[
            f"statistic {rounded(statistic, 3)}, 95 % quantile {rounded(null, 3)}, "
            f"p = {rounded(p, 2)}"
            for _, statistic, null, p in tests
        ],
        hovertemplate="%{text}<extra></extra>",
    )
    figure.update_xaxes(rangemode="tozero")
    figure.update_yaxes(autorange="reversed", showgrid=False, ticks="")
    words = "; ".join(
        f"{name} {rounded(ratio, 2)} of the quantile, p = {rounded(p, 2)}"
        for (name, _, _, p), ratio in zip(tests, ratios, strict=True)
    )
    return Chart(
        "tests",
        "Two tests on systems that were kept aside",
        "If the model is right, a statistic lies within the band in 95 of 100 cases.",
        f"Test statistics over their null's 95 % quantile: {words}.",
        figure,
        wide=True,
    )


def descent_charts(population: xr.Dataset, truth: xr.Dataset | None) -> list[Chart]:
    """Return the loss along the descent, and the path of one parameter at a time."""
    loss = population["loss"].values
    steps = evenly(len(loss), _STEPS)
    figure = new_chart("iteration", "loss")
    figure.add_scatter(
        x=steps + 1,
        y=loss[steps],
        name="weighted by the noise",
        line={"color": LIGHT, "width": 1.2},
    )
    fixed = population["fixed_loss"].values
    seen = np.flatnonzero(~np.isnan(fixed))
    if len(seen):
        figure.add_scatter(
            x=seen + 1, y=fixed[seen], name="in a fixed metric", line={"color": MODEL}
        )
    last = loss[-max(2, len(loss) // 10) :]
    charts = [
        Chart(
            "loss",
            "Loss of the descent",
            "The loss weighted by the noise need not fall, since its weights change as the noise "
            "is learned. Values of the loss in a fixed metric can be compared along the way.",
            f"Loss over {len(loss)} iterations; at the end the weighted one is about "
            f"{rounded(float(np.mean(last)), 2)}.",
            figure,
        )
    ]
    names: list[str] = []
    paths = new_chart("iteration", "value")
    for kind in ("law", "noise"):
        dim = f"{kind}_parameter"
        same = truth is not None and np.array_equal(truth[dim], population[dim])
        for i in evenly(population.sizes[dim], _PATHS):
            meta = len(names)
            names.append(f"{kind}: {readable(str(population[dim].values[i]))}")
            path = population[f"{kind}_path"].values[:, i]
            kept = evenly(len(path), _STEPS)
            paths.add_scatter(
                x=kept + 1, y=path[kept], name="path", line={"color": MODEL}, meta=meta
            )
            paths.add_scatter(
                x=[len(path)],
                y=[population[kind].values[i]],
                mode="markers",
                name="answer",
                marker={"color": MODEL, "size": 10},
                meta=meta,
            )
            if same and truth is not None:
                true = float(truth[kind].values[i])
                paths.add_scatter(
                    x=[1, len(path)],
                    y=[true, true],
                    mode="lines",
                    name="truth",
                    line={"color": TRUTH, "dash": "dash"},
                    meta=meta,
                )
    charts.append(
        Chart(
            "paths",
            "Paths of the parameters",
            "They should be level at the end. The answer is the mean of the last iterations.",
            f"Paths of {len(names)} parameters along the descent, one at a time.",
            paths,
            control="select",
            control_label="Parameter",
            choices=tuple(names),
        )
    )
    return charts
