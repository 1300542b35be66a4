"""Figures of the difficulty of unlearning points and systems, and of fine-tuning."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import xarray as xr

from popinv.charts.description import (
    Axis,
    Band,
    Dash,
    Grid,
    Legend,
    Line,
    Look,
    Mark,
    Panel,
    Points,
    Reference,
    Sheet,
    Stretch,
)
from popinv.charts.style import LIGHT, MODEL, SYSTEMS, TRUTH, shades

_METHODS = {
    "sgld": ("sgld", "Langevin descent"),
    "sgd": ("sgd", "plain descent"),
    "l1": ("sgd", "sparse unlearning"),
}


def draw_steps(result: xr.Dataset) -> Sheet:
    """Return steps to unlearn over the loss of every forget set, by method."""
    names = [str(name) for name in result["forget_set"].values]
    by_rank = np.array([name.startswith("privacy") for name in names])
    most = int(result["tuned"].values[-1])
    panels: list[Panel] = []
    for method, (training, title) in _METHODS.items():
        loss = result[f"{training}_privacy_of_set"].values
        steps = result[f"{method}_steps"].values
        marks: list[Mark] = []
        for chosen, colour, label in (
            (by_rank, MODEL, "by rank of the loss"),
            (~by_rank, TRUTH, "hardest by other scores, random"),
        ):
            mean, low, high = (
                found[chosen]
                for found in (steps.mean(axis=0), steps.min(axis=0), steps.max(axis=0))
            )
            marks.append(Points(loss[chosen], mean, low=low, high=high, colour=colour, label=label))
        marks.append(Reference(most, dash="dot", colour=LIGHT, label="as far as was fine-tuned"))
        # Clipped losses span so little that numbers between the powers of ten would overlap.
        x = Axis("loss P(x, 8) of the set", "log", minor=False)
        y = Axis("" if panels else "steps (mean and range of runs)")
        panels.append(Panel(x, y, marks, title=title))
    grid = Grid(panels, len(panels), share_y=True, legend=3)
    return Sheet("Steps to unlearn a set of images", 12, 4.4, grid)


def draw_curves(result: xr.Dataset) -> Sheet:
    """Return the lead in accuracy on the sets by rank over models without them, along fine-tuning.

    Colours go from the smallest to the largest loss.
    """
    count = int(result.attrs["quantiles"])
    colours = shades("sequential", np.linspace(0.95, 0.0, count))
    tuned = result["tuned"].values
    panels: list[Panel] = []
    for method, (training, title) in _METHODS.items():
        wanted = result[f"{training}_reference"].values.mean(axis=0)
        curves = result[f"{method}_accuracy"].values.mean(axis=0) - wanted
        marks: list[Mark] = [Reference(0, width=1, colour=LIGHT)]
        for i, colour in enumerate(colours):
            end = {0: "smallest loss", count - 1: "largest loss"}.get(i)
            told: dict[str, Any] = {
                "label": end or f"loss of rank {i + 1}",
                "legend": end is not None,
            }
            marks.append(Line(tuned, curves[:, i], width=1.4, colour=colour, **told))
        y = Axis("" if panels else "accuracy on the set, difference")
        legend = None if panels else Legend()
        panels.append(Panel(Axis("fine-tuning steps"), y, marks, title=title, legend=legend))
    grid = Grid(panels, len(panels), share_y=True)
    return Sheet("Accuracy beyond that of models that never saw the set", 12, 4.4, grid)


_BOUNDS: dict[str, tuple[str, str, Dash]] = {
    "easy": ("own loss, easy point", "#56B4E9", "dot"),
    "median": ("own loss, median point", MODEL, "solid"),
    "hard": ("own loss, hard point", "#009E73", "dash"),
    "uniform": ("worst case, same formula", TRUTH, "solid"),
    "coupled": ("worst case, by coupling", "#E69F00", "dashdot"),
}


def draw_utility(result: xr.Dataset) -> Sheet:
    """Return test accuracy over the steps of unlearning at equal epsilon, by bound."""
    epsilons, steps = result["epsilon"].values, result["unlearned"].values
    noiseless = float(result["utility_noiseless"].mean())
    panels: list[Panel] = []
    for epsilon in epsilons:
        marks: list[Mark] = []
        for bound, (label, colour, dash) in _BOUNDS.items():
            found = result["utility"].sel(bound=bound, epsilon=epsilon).values
            marks.append(Line(steps, found.mean(axis=0), dash, 1.6, colour=colour, label=label))
            ends = found.min(axis=0), found.max(axis=0)
            told: dict[str, Any] = {"label": f"{label}, range of runs", "legend": False}
            marks.append(Band(steps, *ends, colour=colour, alpha=0.15, **told))
        told = {"label": "almost no noise, no guarantee"}
        marks.append(Reference(noiseless, width=1, colour=LIGHT, **told))
        x = Axis("unlearning steps", "symlog", threshold=2.0, limits=(0, steps[-1]))
        y = Axis("" if panels else "accuracy on test images")
        panels.append(Panel(x, y, marks, title=f"epsilon {epsilon:g}"))
    grid = Grid(panels, len(panels), share_y=True, legend=3)
    return Sheet("Accuracy with the noise that each bound asks for", 12, 4.4, grid)


def draw_systems(result: xr.Dataset) -> Sheet:
    """Return the systems' losses, and the way of withdrawn systems to a descent without them."""
    distance, loss = result["distance"].values, result["loss"].values
    # A value below the noise of the draws is drawn at the height of that noise.
    least = 2 * float(result.attrs["loss_uncertainty"])
    height = np.maximum(loss, least)
    noise: Look = {"label": "too small to tell", "colour": LIGHT}
    losses: list[Mark] = [
        Points(distance, height, size=4, colour=LIGHT, label="systems", legend=False),
        Stretch(least / 1.5, least, alpha=0.2, **noise),
    ]
    steps = np.arange(result.sizes["step"])
    epsilon = float(result.attrs["epsilon"])
    ways: list[Mark] = [Reference(epsilon, dash="dot", colour=TRUTH, label="forgotten")]
    colours = itertools.cycle(SYSTEMS)
    for system, colour in zip(result["withdrawn"].values, colours, strict=False):
        name = f"system {system}"
        at = np.flatnonzero(result["candidate"].values == system)
        own: dict[str, Any] = {"label": name, "legend": False, "colour": colour}
        losses.append(Points(distance[at], height[at], size=8, **own))
        divergence = result["divergence"].sel(withdrawn=system).values
        ways.append(Line(steps, divergence, width=1.6, colour=colour, label=name))
        floor = result["floor"].sel(withdrawn=system).values
        own |= {"label": f"{name}, noise of the draws"}
        ways.append(Line(steps, floor, "dash", 1.0, **own))
    # What stands for all of them in the legend.
    told = "noise of the draws, nothing to forget"
    ways.append(Line([], [], "dash", 1.0, colour=LIGHT, label=told))
    left = Panel(
        Axis("distance from the mean, in standard deviations"),
        Axis("loss P", "log"),
        losses,
        legend=Legend(),
    )
    y = Axis("divergence from a new descent", "log")
    right = Panel(Axis("fine-tuning steps"), y, ways, legend=Legend())
    return Sheet("Systems that withdraw", 11, 4.6, Grid([left, right], 2))
