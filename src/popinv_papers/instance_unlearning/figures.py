"""Figures of the difficulty of unlearning points and systems, and of fine-tuning."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import matplotlib
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from popinv.charts.style import (
    LIGHT,
    MODEL,
    SEQUENTIAL,
    SYSTEMS,
    TRUTH,
    new_figure,
    styled,
)

_METHODS = {
    "sgld": ("sgld", "Langevin descent"),
    "sgd": ("sgd", "plain descent"),
    "l1": ("sgd", "sparse unlearning"),
}


def _panels(figure: Figure) -> Iterator[tuple[Axes, str, str]]:
    """Yield a panel for each method of fine-tuning, the method, and the training it starts from."""
    axes = figure.subplots(1, len(_METHODS), sharey=True)
    for ax, (method, (training, title)) in zip(axes, _METHODS.items(), strict=True):
        ax.set(title=title)
        yield ax, method, training


def _legend_below(figure: Figure) -> None:
    told = figure.axes[0].get_legend_handles_labels()
    figure.legend(*told, loc="outside lower center", ncols=3)


@styled
def draw_steps(result: xr.Dataset) -> Figure:
    """Draw steps to unlearn over the loss of every forget set, by method."""
    names = [str(name) for name in result["forget_set"].values]
    by_rank = np.array([name.startswith("privacy") for name in names])
    most = int(result["tuned"].values[-1])
    figure = new_figure("Steps to unlearn a set of images", 12, 4.4)
    for ax, method, training in _panels(figure):
        loss = result[f"{training}_privacy_of_set"].values
        steps = result[f"{method}_steps"].values
        for chosen, colour, label in (
            (by_rank, MODEL, "by rank of the loss"),
            (~by_rank, TRUTH, "hardest by other scores, random"),
        ):
            low, high = steps.min(axis=0)[chosen], steps.max(axis=0)[chosen]
            mean = steps.mean(axis=0)[chosen]
            ax.errorbar(
                loss[chosen],
                mean,
                yerr=[mean - low, high - mean],
                fmt="o",
                ms=6,
                lw=1.2,
                color=colour,
                label=label,
            )
        ax.axhline(most, color=LIGHT, ls=":", label="as far as was fine-tuned")
        ax.set(xscale="log", xlabel="loss P(x, 8) of the set")
        # Clipped losses span so little that numbers between the powers of ten would overlap.
        ax.xaxis.set_minor_formatter(NullFormatter())
    figure.axes[0].set(ylabel="steps (mean and range of runs)")
    _legend_below(figure)
    return figure


@styled
def draw_curves(result: xr.Dataset) -> Figure:
    """Draw the accuracy on the sets by rank along fine-tuning, less that of models without them."""
    count = int(result.attrs["quantiles"])
    figure = new_figure("Accuracy beyond that of models that never saw the set", 12, 4.4)
    shades = matplotlib.colormaps[SEQUENTIAL](np.linspace(0.95, 0.0, count))
    for ax, method, training in _panels(figure):
        wanted = result[f"{training}_reference"].values.mean(axis=0)
        curves = result[f"{method}_accuracy"].values.mean(axis=0) - wanted
        for i in range(count):
            label = {0: "smallest loss", count - 1: "largest loss"}.get(i)
            ax.plot(result["tuned"].values, curves[:, i], lw=1.4, label=label, color=shades[i])
        ax.axhline(0, color=LIGHT, lw=1)
        ax.set(xlabel="fine-tuning steps")
    figure.axes[0].set(ylabel="accuracy on the set, difference")
    figure.axes[0].legend(loc="best")
    return figure


_BOUNDS = {
    "easy": ("own loss, easy point", "#56B4E9", ":"),
    "median": ("own loss, median point", MODEL, "-"),
    "hard": ("own loss, hard point", "#009E73", "--"),
    "uniform": ("worst case, same formula", TRUTH, "-"),
    "coupled": ("worst case, by coupling", "#E69F00", "-."),
}


@styled
def draw_utility(result: xr.Dataset) -> Figure:
    """Draw test accuracy over the steps of unlearning at equal epsilon, by bound."""
    figure = new_figure("Accuracy with the noise that each bound asks for", 12, 4.4)
    epsilons, steps = result["epsilon"].values, result["unlearned"].values
    panels = figure.subplots(1, len(epsilons), sharey=True)
    for ax, epsilon in zip(panels, epsilons, strict=True):
        for bound, (label, colour, line) in _BOUNDS.items():
            found = result["utility"].sel(bound=bound, epsilon=epsilon).values
            ax.plot(steps, found.mean(axis=0), ls=line, lw=1.6, color=colour, label=label)
            low, high = found.min(axis=0), found.max(axis=0)
            ax.fill_between(steps, low, high, color=colour, alpha=0.15, lw=0)
        noiseless = float(result["utility_noiseless"].mean())
        ax.axhline(noiseless, color=LIGHT, lw=1, label="almost no noise, no guarantee")
        ax.set(title=f"epsilon {epsilon:g}", xlabel="unlearning steps", xscale="symlog")
        ax.set_xlim(0, steps[-1])
    figure.axes[0].set(ylabel="accuracy on test images")
    _legend_below(figure)
    return figure


@styled
def draw_systems(result: xr.Dataset) -> Figure:
    """Draw the systems' losses, and the way of those that withdrew to a descent without them."""
    figure = new_figure("Systems that withdraw", 11, 4.6)
    left, right = figure.subplots(1, 2)
    distance, loss = result["distance"].values, result["loss"].values
    # A value below the noise of the draws is drawn at the height of that noise.
    told = 2 * float(result.attrs["loss_uncertainty"])
    height = np.maximum(loss, told)
    left.plot(distance, height, "o", ms=4, color=LIGHT)
    left.axhspan(told / 1.5, told, color=LIGHT, alpha=0.2, lw=0, label="too small to tell")
    colours = list(itertools.islice(itertools.cycle(SYSTEMS), result.sizes["withdrawn"]))
    for system, colour in zip(result["withdrawn"].values, colours, strict=True):
        at = np.flatnonzero(result["candidate"].values == system)
        left.plot(distance[at], height[at], "o", ms=8, color=colour)
    left.set(xlabel="distance from the mean, in standard deviations", ylabel="loss P", yscale="log")
    left.legend(loc="best")
    steps = np.arange(result.sizes["step"])
    epsilon = float(result.attrs["epsilon"])
    right.axhline(epsilon, color=TRUTH, ls=":", lw=1.4, label="forgotten")
    for one, colour in zip(result["withdrawn"].values, colours, strict=True):
        divergence = result["divergence"].sel(withdrawn=one).values
        right.plot(steps, divergence, lw=1.6, color=colour, label=f"system {one}")
        floor = result["floor"].sel(withdrawn=one).values
        right.plot(steps, floor, lw=1.0, ls="--", color=colour)
    right.plot([], [], lw=1.0, ls="--", color=LIGHT, label="noise of the draws, nothing to forget")
    right.set(xlabel="fine-tuning steps", ylabel="divergence from a new descent", yscale="log")
    right.legend(loc="best")
    return figure
