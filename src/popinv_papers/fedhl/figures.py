"""Federated adaptation: accuracies, losses over the rounds, and the errors of sites."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from popinv.charts.style import (
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
from popinv_papers.fedhl.accuracies import gains
from popinv_papers.kit.claims import measured

_COLOURS = {
    "fedhl": MODEL,
    "fedhl_relative": SYSTEMS[4],
    "fedhl_q1": "#8C510A",
    "flexlora": CHECK,
    "flora": ORACLE,
    "hetlora": SYSTEMS[1],
    "uniform": DATA,
    "equal": DATA,
    "fedhl_at_client": ORACLE,
}


@styled
def draw_accuracy(result: xr.Dataset) -> Figure:
    """Draw the accuracy over the rounds, mean of the seeds, by problem and division."""
    problems, divisions = result["problem"].values, result["division"].values
    figure = new_figure("Accuracy over the rounds", 3.2 * len(divisions), 2.8 * len(problems))
    axes = figure.subplots(len(problems), len(divisions), squeeze=False)
    mean = result["accuracy"].mean("seed")
    for row, problem in zip(axes, problems, strict=True):
        for ax, division in zip(row, divisions, strict=True):
            found = mean.sel(problem=problem, division=division).dropna("round", how="all")
            ax.set_visible(bool(found.size))
            for rule in found["rule"].values if found.size else ():
                values = found.sel(rule=rule).values
                ax.plot(values, color=_COLOURS[str(rule)], label=readable(str(rule)))
            ax.set(title=f"{problem}: {division}", xlabel="round")
            ax.title.set_fontsize("small")
    axes[-1, 0].set(ylabel="accuracy")
    axes[-1, 0].legend(loc="best", fontsize="x-small")
    return figure


@styled
def draw_gains(result: xr.Dataset, rule: str = "fedhl") -> Figure:
    """Draw the gain of a rule over the others, with its interval, by problem and division."""
    problems = result["problem"].values.tolist()
    others = [name for name in result["rule"].values.tolist() if name != rule]
    title = f"Gain in accuracy of {readable(rule)} over the others, with 95 % intervals"
    figure = new_figure(title, 4.2 * len(problems), 4.5)
    axes = figure.subplots(1, len(problems), sharex=True, squeeze=False)[0]
    for ax, problem in zip(axes, problems, strict=True):
        for i, other in enumerate(others):
            found = gains(result, problem, rule, other)
            each = [measured(values) for values in found.values]
            mean = np.array([one.mean for one in each])
            reach = np.array([one.high - one.mean for one in each])
            place = np.arange(len(each)) + (i - (len(others) - 1) / 2) * 0.8 / len(others)
            ax.errorbar(
                mean,
                place,
                xerr=reach,
                fmt="o",
                ms=4,
                lw=1.4,
                color=_COLOURS[other],
                label=readable(other),
            )
        ax.axvline(0, color=LIGHT, lw=1)
        ax.set_yticks(np.arange(len(found["division"])), found["division"].values.tolist())
        ax.invert_yaxis()
        ax.grid(False, axis="y")
        ax.set(title=problem, xlabel="gain")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right center")
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
