"""Chart of a comparison of models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from popinv.charts.description import Axis, Grid, Panel, Points, Reference, Sheet
from popinv.charts.style import LIGHT, MODEL, readable


def scores_panel(comparison: Mapping[str, Any]) -> Panel:
    """Return how far the log score of each model is behind the best, with standard errors.

    Parameters
    ----------
    comparison : mapping
        ``comparison.json``; see :func:`popinv.inference.model_comparison.compare`.
    """
    models = comparison["models"]
    places = np.arange(len(models))
    behind = np.array([-model["score_difference"] for model in models.values()])
    error = np.array([model["score_difference_error"] for model in models.values()])
    by = "" if comparison["scored_by"] == "likelihood" else ", by the normal law"
    intervals = [
        Points(
            behind,
            places,
            low=behind - factor * error,
            high=behind + factor * error,
            across=True,
            shown=factor == 1,
            bar=bar,
            size=7,
            colour=MODEL,
        )
        for factor, bar in ((2, 1.2), (1, 3.0))
    ]
    return Panel(
        Axis(f"log score of a system less that of the best{by}; thick 1, thin 2 standard errors"),
        Axis(
            places=places,
            names=[readable(model) for model in models],
            limits=(len(models) - 0.4, -0.6),
            grid=False,
        ),
        [Reference(0.0, upright=True, width=1.2, colour=LIGHT), *intervals],
    )


def draw_comparison(name: str, comparison: Mapping[str, Any]) -> Sheet:
    """Return the scores of the models of a comparison of this name."""
    title = f"{readable(name)}: scores of systems not seen"
    height = 1.9 + 0.5 * len(comparison["models"])
    return Sheet(title, 8, height, Grid([scores_panel(comparison)]))
