"""Federated adaptation: accuracies, losses over the rounds, and the errors of sites."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from popinv.figures.style import (
    CHECK,
    DATA,
    LIGHT,
    MODEL,
    ORACLE,
    SYSTEMS,
    TRUTH,
    new_figure,
    readable,
    styled,
)

__all__ = ["draw_accuracy", "draw_losses", "draw_sites"]

_COLOURS = {
    "fedhl": MODEL,
    "fedhl_relative": SYSTEMS[4],
    "flexlora": CHECK,
    "flora": ORACLE,
    "hetlora": SYSTEMS[1],
    "uniform": DATA,
    "equal": DATA,
    "fedhl_at_client": ORACLE,
}


def _division(concentration: float) -> str:
    if np.isinf(concentration):
        return "homogeneous"
    return f"Dirichlet {concentration:g}"


@styled
def draw_accuracy(result: xr.Dataset) -> Figure:
    """Draw the accuracy over the rounds, mean of the seeds, by federation and division."""
    clients, divisions = result["clients"].values, result["concentration"].values
    figure = new_figure("From digits to clothes: accuracy over the rounds", 12, 6.5)
    axes = figure.subplots(len(clients), len(divisions), sharex=True, sharey=True, squeeze=False)
    mean = result["accuracy"].mean("seed")
    for row, count in zip(axes, clients, strict=True):
        for ax, concentration in zip(row, divisions, strict=True):
            for rule in result["rule"].values:
                values = mean.sel(clients=count, concentration=concentration, rule=rule)
                ax.plot(values.values, color=_COLOURS[str(rule)], label=readable(str(rule)))
            ax.set(title=f"{count} clients, {_division(concentration)}")
        row[0].set(ylabel="accuracy")
    for ax in axes[-1]:
        ax.set(xlabel="round")
    axes[0, 0].legend(loc="best")
    return figure


@styled
def draw_losses(result: xr.Dataset) -> Figure:
    """Draw the regression's loss over the rounds, mean of the seeds, and the optimum."""
    result, cases = result[["loss", "optimum"]].mean("seed"), result["case"].values
    figure = new_figure("Linear regression: mean loss of the clients", 12, 4)
    axes = figure.subplots(1, len(cases), squeeze=False)[0]
    for ax, case in zip(axes, cases, strict=True):
        for rule in result["regression_rule"].values:
            losses = result["loss"].sel(case=case, regression_rule=rule).values
            ax.plot(np.maximum(losses, 1e-4), color=_COLOURS[str(rule)], label=readable(str(rule)))
        optimum = float(result["optimum"].sel(case=case))
        if optimum > 1e-4:
            ax.axhline(optimum, color=TRUTH, ls="--", lw=1.4, label="optimum")
        ax.set(title=readable(str(case)), xlabel="round", yscale="log")
    axes[0].set(ylabel="loss")
    axes[1].legend(loc="best")
    return figure


_WAYS = {
    "common": ("as it is", LIGHT, "_"),
    "alone": ("alone", SYSTEMS[1], "s"),
    "flexlora": ("FlexLoRA", CHECK, "^"),
    "fedhl": ("FedHL", MODEL, "o"),
    "pooled": ("pooled", ORACLE, "D"),
}


@styled
def draw_sites(result: xr.Dataset) -> Figure:
    """Draw every site's error for each way to adapt the surrogate, with a mark for each repeat."""
    sites = result["site"].values
    figure = new_figure("Error of the surrogate at each site", 3 + 1.6 * len(sites), 4.5)
    ax = figure.subplots()
    width = 0.8 / len(_WAYS)
    for i, (way, (label, colour, mark)) in enumerate(_WAYS.items()):
        values = result["error"].sel(way=way).values
        place = np.arange(len(sites)) + (i - (len(_WAYS) - 1) / 2) * width
        for repeat, errors in enumerate(values):
            ax.plot(
                place,
                errors,
                mark,
                ms=6,
                mew=1.5,
                color=colour,
                ls="none",
                alpha=0.8,
                label=None if repeat else label,
            )
    for between in np.arange(len(sites) - 1) + 0.5:
        ax.axvline(between, color=LIGHT, lw=0.8)
    labels = [
        f"site {site}\nrank {rank}" for site, rank in zip(sites, result["rank"].values, strict=True)
    ]
    ax.set_xticks(np.arange(len(sites)), labels)
    ax.grid(False, axis="x")
    ax.set(ylabel="error over the spread of the answers", ylim=(0, None))
    figure.legend(loc="outside right center")
    return figure
