"""Chart of a comparison of models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from popinv.charts.plotly_writer import Chart, page_figure
from popinv.figures.comparison import scores_panel
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
    told = "; ".join(
        f"{name} {rounded(b, 3)} ± {rounded(e, 2)}"
        for name, b, e in zip(names, behind, errors, strict=True)
    )
    return Chart(
        "scores",
        "Scores of systems not seen",
        "Thick bars are one standard error, thin bars two, of the mean difference over the tested "
        "systems, in pairs.",
        f"Differences of log scores to the best model: {told}.",
        page_figure([scores_panel(comparison)], height=120 + 48 * len(models)),
        wide=True,
    )
