"""Figures of particles that serve several objectives, of groups of systems, and of ensembles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from popinv.figures.style import DATA, LIGHT, MODEL, SYSTEMS, TRUTH, new_figure, readable, styled
from popinv_papers.kit.claims import measured
from popinv_papers.mwgrad.ensemble_problem import LOGS, accuracies
from popinv_papers.mwgrad.ensemble_runs import METHODS, EnsembleTraining
from popinv_papers.mwgrad.velocities import NormalMixture


@styled
def draw_particles(result: xr.Dataset, targets: Sequence[NormalMixture]) -> Figure:
    """Draw the last particles of every run over the targets' level lines."""
    names = [str(name) for name in result["run"].values]
    columns = 3
    rows = -(-len(names) // columns)
    figure = new_figure("Particles that serve four mixtures", 9.5, 3.1 * rows)
    axes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    line = np.linspace(-7, 7, 81)
    grid = np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2)
    for ax, name, one in zip(axes.flat, names, result["particles"].values, strict=False):
        for target, colour in zip(targets, SYSTEMS, strict=False):
            density = np.exp(target.log_density(grid)).reshape(len(line), -1)
            ax.contour(line, line, density, levels=3, colors=colour, linewidths=0.8, alpha=0.7)
        ax.plot(*one.T, "o", color="black", ms=3.5)
        ax.set(title=readable(name), aspect="equal", xlim=(-7, 7), ylim=(-7, 7))
    return figure


@styled
def draw_accelerated(result: xr.Dataset) -> Figure:
    """Draw plain and accelerated descents, each at its own best rate, for all seeds."""
    figure = new_figure("Plain and accelerated descent, each at its best rate", 9, 4.2)
    cases = {
        "ill_conditioned": ("normal targets of condition number 100", "gap, nats", "log"),
        "mixtures": ("four mixtures", "mean of −log p, nats", "linear"),
    }
    looks = {"plain": LIGHT, "accelerated": MODEL}
    for ax, (case, (title, label, scale)) in zip(figure.subplots(1, 2), cases.items(), strict=True):
        for moves, colour in looks.items():
            curves = result[f"curve_{case}"].sel(moves=moves).values
            steps = np.arange(1, curves.shape[1] + 1)
            lines = ax.plot(steps, curves.T, color=colour, lw=1)
            lines[0].set_label(moves)
        ax.set(title=title, xlabel="steps", ylabel=label, yscale=scale)
    figure.axes[0].legend()
    return figure


@styled
def draw_group(result: xr.Dataset) -> Figure:
    """Draw the particles of a group and of its systems alone, and the cost to each system.

    The plane is that of the two parameters in which the systems differ most, in units of their
    own spread.
    """
    z_alone = result["z_alone"].values
    spread = z_alone.std(axis=1).mean(axis=0)
    apart = z_alone.mean(axis=1).std(axis=0)
    # A parameter that all systems share has no spread but rounding.
    varies = spread > 1e-12 * np.maximum(np.abs(z_alone).max(axis=(0, 1)), 1e-300)
    order = np.argsort(-np.where(varies, apart / np.where(varies, spread, 1), -1.0))[:2]
    names = [str(result["parameter"].values[index]) for index in order]
    figure = new_figure("One set of parameters for a group of systems", 10, 4.8)
    left, right = figure.subplots(1, 2)
    systems = [str(number) for number in result["group"].values]
    place = np.arange(len(systems))

    def plane(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return z[:, order[0]], z[:, order[1]] if len(order) > 1 else np.zeros(len(z))

    for index, number in enumerate(systems):
        colour = SYSTEMS[index % len(SYSTEMS)]
        left.plot(*plane(z_alone[index]), ".", ms=4, alpha=0.35, color=colour)
        left.annotate(
            number,
            [values.mean() for values in plane(z_alone[index])],
            color=colour,
            fontweight="bold",
            ha="center",
            va="center",
        )
    rules = {"minnorm": (DATA, "weights of least norm"), "fixed": (LIGHT, "equal weights")}
    for index, rule in enumerate(result["rule"].values):
        colour, label = rules[str(rule)]
        left.plot(*plane(result["z"].values[index]), "o", ms=3, color=colour, label=label)
        right.bar(
            place + 0.4 * index - 0.2,
            result["regret"].values[index],
            0.38,
            color=colour,
            label=label,
        )
    left.set(title="particles, and of each system alone", xlabel=readable(names[0]))
    if len(names) > 1:
        left.set_ylabel(readable(names[1]))
    right.set_xticks(place, systems)
    right.set(title="cost to each system", xlabel="system", ylabel="rise of −log p")
    figure.legend(*right.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


@styled
def draw_front(result: xr.Dataset) -> Figure:
    """Draw the front of the two systems farthest apart, and where descents of the group end."""
    figure = new_figure("Trade-offs in the group", 10, 4.6)
    left, right = figure.subplots(1, 2)
    group = result["group"].values.tolist()
    two = [group.index(number) for number in result["front_system"].values.tolist()]
    left.plot(*result["front"].values.T, "-", color=LIGHT, label="front of these two alone")
    rules = dict(zip(result["rule"].values.tolist(), result["regret"].values, strict=True))
    ends = {
        "equal weights": (rules["fixed"][None], DATA, "s"),
        "least norm": (rules["minnorm"][None], MODEL, "o"),
        "least norm, other starts": (result["regret_from"].values, SYSTEMS[1], "o"),
    }
    place = np.arange(len(group))
    for label, (regrets, colour, marker) in ends.items():
        left.plot(*regrets[:, two].T, marker, ls="", color=colour, label=label)
        lines = right.plot(place, regrets.T, "-", marker=marker, color=colour, lw=1)
        lines[0].set_label(label)
    left.set(title="two systems", xlabel=f"regret of system {group[two[0]]}")
    left.set_ylabel(f"regret of system {group[two[1]]}")
    right.set(title="all systems", xlabel="system", ylabel="regret, rise of −log p")
    right.set_xticks(place, [str(number) for number in group])
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure


# Methods of this name are MWGraD's.
_OURS = ("svgd", "gfsd", "neural")


def _kinds(trained: Mapping[EnsembleTraining, xr.Dataset]) -> list[str]:
    return list(dict.fromkeys(run.kind for run in trained))


@styled
def draw_examples(trained: Mapping[EnsembleTraining, xr.Dataset]) -> Figure:
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
def draw_accuracies(trained: Mapping[EnsembleTraining, xr.Dataset]) -> Figure:
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
def draw_logs(trained: Mapping[EnsembleTraining, xr.Dataset]) -> Figure:
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
