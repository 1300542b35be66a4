"""Figure of a comparison of models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from popinv.figures.style import LIGHT, MODEL, new_figure, readable, styled


@styled
def draw_comparison(name: str, comparison: Mapping[str, Any]) -> Figure:
    """Draw how far the log score of each model is behind the best, with standard errors.

    Parameters
    ----------
    name : str
        The name of the comparison.
    comparison : mapping
        ``comparison.json``; see :func:`popinv.inference.model_comparison.compare`.
    """
    models = comparison["models"]
    figure = new_figure(f"{readable(name)}: scores of systems not seen", 8, 1.9 + 0.5 * len(models))
    ax = figure.subplots()
    places = np.arange(len(models))
    behind = np.array([-model["score_difference"] for model in models.values()])
    errors = np.array([model["score_difference_error"] for model in models.values()])
    ax.axvline(0.0, color=LIGHT, lw=1.2)
    ax.errorbar(behind, places, xerr=2 * errors, fmt="none", ecolor=MODEL, elinewidth=1.2)
    ax.errorbar(behind, places, xerr=errors, fmt="o", color=MODEL, ms=7, elinewidth=3)
    ax.set_yticks(places, [readable(model) for model in models])
    ax.set_ylim(len(models) - 0.4, -0.6)
    by = "" if comparison["scored_by"] == "likelihood" else ", by the normal law"
    ax.set_xlabel(
        f"log score of a system less that of the best{by}; thick 1, thin 2 standard errors"
    )
    ax.grid(axis="y", visible=False)
    return figure
