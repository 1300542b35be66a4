"""Charts for judging the answer: the tests, the descent."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from popinv.figures.arrangement import evenly
from popinv.judgement.answer import FeatureTest
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

# Number of parameters whose path can be selected, and of iterations along a path.
_PATHS = 24
_STEPS = 400
_LEVEL = 0.05


def test_chart(tests: Sequence[FeatureTest]) -> Chart | None:
    """Return the sizes of the mistakes that the model is tested for."""
    if not tests:
        return None
    large = np.array([test.large for test in tests])
    found = np.array([test.value for test in tests]) / large
    errors = 1.96 * np.array([test.error for test in tests]) / large
    p_values = np.array([test.p_value for test in tests])
    labels = [readable(test.name) for test in tests]
    figure = new_chart("estimate, in units of a large mistake", "", height=120 + 26 * len(tests))
    figure.add_vrect(x0=-1, x1=1, fillcolor=faint(MODEL, 0.12), line_width=0, layer="below")
    seen = p_values < _LEVEL
    for label, rows, colour in (
        ("no mistake seen", ~seen, DATA),
        ("a mistake", seen, TRUTH),
    ):
        if not rows.any():
            continue
        chosen = np.flatnonzero(rows)
        figure.add_scatter(
            y=[labels[i] for i in chosen],
            x=found[chosen],
            error_x={"type": "data", "array": errors[chosen], "thickness": 1.5, "width": 0},
            mode="markers",
            name=label,
            marker={"color": colour, "size": 9, "symbol": "diamond"},
            text=[
                f"{labels[i]}: {rounded(float(found[i] * large[i]), 2)}, "
                f"p = {rounded(float(p_values[i]), 2)}"
                for i in chosen
            ],
            hovertemplate="%{text}<extra></extra>",
        )
    figure.update_yaxes(
        autorange="reversed", showgrid=False, ticks="", categoryarray=labels, type="category"
    )
    mistakes = [label for label, row in zip(labels, seen, strict=True) if row]
    return Chart(
        "tests",
        "Mistakes that the model is tested for",
        "Each mistake is a parameter of a larger model, zero in this one, with a 95 % interval. In "
        "the band it is smaller than a user would want to know. An interval that is wider than the "
        "band says that this mistake could not be seen.",
        f"{len(tests)} mistakes are tested. Seen: {', '.join(mistakes) or 'none'}.",
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
