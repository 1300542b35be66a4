"""Particles that serve several objectives, and how fast they get there."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from popinv.downstream.mwgrad.targets import NormalMixture
from popinv.figures.style import LIGHT, MODEL, SYSTEMS, TRUTH, new_figure, readable, styled

__all__ = ["draw_accelerated", "draw_particles"]


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
    """Draw the mean of -log p along plain and accelerated descents."""
    figure = new_figure("Plain and accelerated descent", 8, 4.6)
    ax = figure.subplots()
    looks = {
        "plain_fixed": (LIGHT, "-"), "plain_minnorm": (LIGHT, "--"),
        "accelerated_fixed": (MODEL, "-"), "accelerated_minnorm": (TRUTH, "--"),
    }  # fmt: skip
    for name, values in zip(result["curve"].values, result["descent"].values, strict=True):
        colour, line = looks[str(name)]
        steps = np.arange(1, len(values) + 1)
        ax.plot(steps, values, color=colour, ls=line, label=readable(str(name)))
    ax.set(xscale="log", xlabel="steps", ylabel="mean of −log p")
    ax.legend()
    return figure


@styled
def draw_group(result: xr.Dataset) -> Figure:
    """Draw the particles of a group by rule of the weights, and what each system gives up."""
    names = [str(name) for name in result["parameter"].values][:2]
    figure = new_figure("One set of parameters for a group of systems", 10, 4.6)
    left, right = figure.subplots(1, 2)
    rules = {"minnorm": (MODEL, "weights of least norm"), "fixed": (LIGHT, "equal weights")}
    systems = [str(number) for number in result["group"].values]
    place = np.arange(len(systems))
    for index, rule in enumerate(result["rule"].values):
        colour, label = rules[str(rule)]
        z = result["z"].values[index]
        second = z[:, 1] if len(names) > 1 else np.zeros(len(z))
        left.plot(z[:, 0], second, "o", ms=4, color=colour, label=label)
        right.bar(
            place + 0.4 * index - 0.2, result["regret"].values[index], 0.38, color=colour,
            label=label,
        )  # fmt: skip
    left.set(title="particles", xlabel=readable(names[0]))
    if len(names) > 1:
        left.set_ylabel(readable(names[1]))
    right.set_xticks(place, systems)
    right.set(title="what each system gives up", xlabel="system", ylabel="rise of −log p")
    figure.legend(*right.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure
