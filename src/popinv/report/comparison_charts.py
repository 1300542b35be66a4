"""Chart of a comparison of models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from popinv.report.look import MODEL, Chart, new_chart
from popinv.report.words import readable, rounded


def comparison_chart(comparison: Mapping[str, Any]) -> Chart:
    """Return how far each model's score is behind the best, with standard errors.

    Parameters
    ----------
    comparison : mapping
        ``comparison.json``; see :func:`popinv.inference.model_comparison.compare`.
    """
    models = comparison["models"]
    names = [readable(name) for name in models]
    behind = [-model["score_difference"] for model in models.values()]
    errors = [model["score_difference_error"] for model in models.values()]
    figure = new_chart(
        "log score of a system less that of the best", "", height=120 + 48 * len(models)
    )
    figure.add_scatter(
        y=names,
        x=behind,
        mode="markers",
        marker={"color": MODEL, "size": 10},
        error_x={"array": errors, "color": MODEL, "thickness": 2},
        showlegend=False,
        text=[f"{rounded(b, 3)} ± {rounded(e, 2)}" for b, e in zip(behind, errors, strict=True)],
        hovertemplate="%{text}<extra>%{y}</extra>",
    )
    figure.update_yaxes(autorange="reversed", showgrid=False, ticks="")
    told = "; ".join(
        f"{name} {rounded(b, 3)} ± {rounded(e, 2)}"
        for name, b, e in zip(names, behind, errors, strict=True)
    )
    return Chart(
        "scores",
        "Scores of systems not seen",
        "Bars are one standard error of the mean difference over the tested systems, in pairs.",
        f"Differences of log scores to the best model: {told}.",
        figure,
        wide=True,
    )
