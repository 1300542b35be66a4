"""Figures of pairs of overlapping images, and of the accuracy of ensembles."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from popinv.figures.style import DATA, LIGHT, MODEL, TRUTH, new_figure, readable, styled
from popinv_papers.kit.claims import measured
from popinv_papers.mwgrad.ensemble_problem import LOGS, accuracies
from popinv_papers.mwgrad.ensemble_runs import METHODS, Run

# Methods of this name are MWGraD's.
_OURS = ("svgd", "gfsd", "neural")


def _kinds(trained: Mapping[Run, xr.Dataset]) -> list[str]:
    return list(dict.fromkeys(run.kind for run in trained))


@styled
def draw_examples(trained: Mapping[Run, xr.Dataset]) -> Figure:
    """Draw some test images of each kind with both labels."""
    kinds = _kinds(trained)
    firsts = [next(one for run, one in trained.items() if run.kind == kind) for kind in kinds]
    columns = firsts[0].sizes["one"]
    figure = new_figure("Pairs of overlapping images", 1.5 * columns, 1.9 * len(kinds) + 0.5)
    rows = figure.subplots(len(kinds), columns, squeeze=False)
    for axes, kind, result in zip(rows, kinds, firsts, strict=True):
        labels = result["example_label"].values
        for ax, image, (top, bottom) in zip(axes, result["example"].values, labels, strict=True):
            ax.imshow(image, cmap="gray", vmin=0, vmax=1)
            ax.set(xticks=[], yticks=[], title=f"{top}, {bottom}")
        axes[0].set_ylabel(readable(kind), fontsize=8)
    return figure


@styled
def draw_accuracies(trained: Mapping[Run, xr.Dataset]) -> Figure:
    """Draw the accuracies of all methods on unseen pairs, with 95 % intervals over seeds."""
    kinds = _kinds(trained)
    figure = new_figure("Accuracy on unseen pairs, mean of both tasks", 4 * len(kinds) + 1, 4.4)
    place = np.arange(len(METHODS))
    colours = [MODEL if name in _OURS else LIGHT for name in METHODS]
    for ax, kind in zip(np.atleast_1d(figure.subplots(1, len(kinds))), kinds, strict=True):
        found = [measured(accuracies(trained, kind, "own", name)[:, -1]) for name in METHODS]
        means = np.array([one.mean for one in found])
        half = np.array([one.high - one.mean for one in found])
        ax.errorbar(place, means, half, fmt="none", ecolor=colours, lw=1.6)
        ax.scatter(place, means, c=colours, s=36, zorder=3)
        ax.set_xticks(place, [readable(name) for name in METHODS], rotation=45)
        ax.set_title(readable(kind))
    figure.axes[0].set_ylabel("accuracy, %")
    return figure


@styled
def draw_logs(trained: Mapping[Run, xr.Dataset]) -> Figure:
    """Draw the accuracies by epoch of the authors' update on both splits, beside their logs."""
    pairs = [
        (kind, method)
        for kind in _kinds(trained)
        for method in LOGS[kind]
        if accuracies(trained, kind, "authors_on_test", method).size
    ]
    figure = new_figure("The authors' update and their logs", 4 * len(pairs) + 1, 4.2)
    looks = {
        ("authors_on_test", "trained"): (DATA, "trained on the scored pairs, as their script"),
        ("authors_on_test", "unseen"): (LIGHT, "the same, scored on others"),
        ("authors", "unseen"): (MODEL, "training split, scored on test pairs"),
    }
    for ax, (kind, method) in zip(
        np.atleast_1d(figure.subplots(1, len(pairs))), pairs, strict=True
    ):
        for (recipe, part), (colour, label) in looks.items():
            curves = accuracies(trained, kind, recipe, method, part)
            if not curves.size:
                continue
            epochs = np.arange(1, curves.shape[1] + 1)
            lines = ax.plot(epochs, curves.T, "o-", ms=3, lw=1, color=colour)
            lines[0].set_label(label)
        log = {epoch + 1: value for epoch, value in LOGS[kind][method].items()}
        drawn = {epoch: value for epoch, value in log.items() if epoch <= max(epochs[-1], 3)}
        ax.plot(*np.array(list(drawn.items())).T, "x--", color=TRUTH, label="the authors' log")
        ax.set(title=f"{readable(kind)}, {readable(method)}", xlabel="epochs of 20,000 pairs")
    figure.axes[0].set_ylabel("accuracy, %")
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure
