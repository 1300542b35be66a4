"""Figures of pairs of overlapping images, and of the accuracy of ensembles."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from popinv.downstream.mwgrad.ensemble_problem import LOGS
from popinv.figures.style import LIGHT, MODEL, TRUTH, new_figure, readable, styled

__all__ = ["draw_accuracies", "draw_examples"]

# Methods of this name are MWGraD's.
_OURS = ("svgd", "gfsd", "neural")


@styled
def draw_examples(trained: Mapping[str, xr.Dataset]) -> Figure:
    """Draw some test images of each kind with both labels."""
    first = next(iter(trained.values()))
    columns = first.sizes["one"]
    figure = new_figure("Pairs of overlapping images", 1.5 * columns, 1.9 * len(trained) + 0.5)
    rows = figure.subplots(len(trained), columns, squeeze=False)
    for axes, (kind, result) in zip(rows, trained.items(), strict=True):
        labels = result["example_label"].values
        for ax, image, (top, bottom) in zip(axes, result["example"].values, labels, strict=True):
            ax.imshow(image, cmap="gray", vmin=0, vmax=1)
            ax.set(xticks=[], yticks=[], title=f"{top}, {bottom}")
        axes[0].set_ylabel(readable(kind), fontsize=8)
    return figure


@styled
def draw_accuracies(trained: Mapping[str, xr.Dataset]) -> Figure:
    """Draw the accuracies of all methods, with two standard errors, and those of the logs."""
    figure = new_figure("Accuracy on test images, mean of both tasks", 10, 4.4)
    for ax, (kind, result) in zip(
        np.atleast_1d(figure.subplots(1, len(trained))), trained.items(), strict=True
    ):
        methods = [str(name) for name in result["method"].values]
        right = 100 * result["right"].mean("task").values
        mean, error = right.mean(axis=1), right.std(axis=1, ddof=1) / right.shape[1] ** 0.5
        place = np.arange(len(methods))
        colours = [MODEL if name in _OURS else LIGHT for name in methods]
        ax.errorbar(place, mean, 2 * error, fmt="none", ecolor=colours, lw=1.6)
        ax.scatter(place, mean, c=colours, s=36, zorder=3, label="here, 2 standard errors")
        logs = [(methods.index(name), np.mean(both)) for name, both in LOGS[kind].items()]
        ax.plot(*np.array(logs).T, "_", color=TRUTH, ms=14, mew=2, label="the authors' logs")
        ax.set_xticks(place, [readable(name) for name in methods], rotation=45)
        ax.set_title(readable(kind))
    figure.axes[0].set_ylabel("accuracy, %")
    handles = figure.axes[0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower center", ncols=2)
    return figure
