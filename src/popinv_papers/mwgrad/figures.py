"""Figures of particles that serve several objectives, and of their convergence."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from popinv.figures.style import DATA, LIGHT, MODEL, SYSTEMS, new_figure, readable, styled
from popinv_papers.mwgrad.targets import NormalMixture


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
