"""Figures of the cost of certified unlearning, and of the accuracy after it."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from popinv.figures.style import (
    CHECK,
    LIGHT,
    MODEL,
    SYSTEMS,
    TRUTH,
    new_figure,
    readable,
    styled,
)

__all__ = ["draw_digits", "draw_forgetting"]

_MOST_PARAMETERS = 12
_METHODS = {
    "full": ("noisy steps, full batch", MODEL, "-"),
    "b128": ("noisy steps, batches of 128", CHECK, "-"),
    "langevin": ("Langevin unlearning", SYSTEMS[3], "--"),
    "delete": ("descent to delete", TRUTH, "--"),
    "delete_1": ("descent to delete, 1 step", TRUTH, ":"),
    "delete_5": ("descent to delete, 5 steps", TRUTH, "--"),
}
_WAYS = {
    "learnt": ("before", LIGHT, "o"),
    "sequence": ("removed one by one", MODEL, "s"),
    "batch": ("removed all at once", CHECK, "^"),
    "anew": ("learned anew", TRUTH, "D"),
}


@styled
def draw_digits(result: xr.Dataset) -> Figure:
    """Draw epochs over requests, accuracy over epsilon, and accuracy over noise."""
    figure = new_figure("Removing images of threes and eights", 14, 6)
    left, middle, right = figure.subplots(1, 3)
    requests = np.arange(1, result.sizes["request"] + 1)
    for name, (label, colour, line) in _METHODS.items():
        if name in result["method"].values:
            total = result["epochs"].sel({"method": name}).values.cumsum()
            # A method that removes ten at a time has served no request before the tenth.
            total = np.where(total > 0, total, np.nan)
            left.step(requests, total, where="post", color=colour, ls=line, label=label)
        if name in result["published"].values:
            mean, error = _over_trials(result["accuracy"].sel({"published": name}))
            middle.errorbar(
                result["epsilon"],
                mean,
                yerr=2 * error,
                color=colour,
                ls=line,
                label=label,
            )
    left.set(
        title="ε = 1, noise 0.03", yscale="log", xlabel="records removed", ylabel="epochs in all"
    )
    middle.set(
        title="One record, one epoch",
        xscale="log",
        xlabel="ε",
        ylabel="accuracy (2 standard errors)",
    )
    for name, colour in zip(result["noisy"].values, SYSTEMS, strict=False):
        at = {"noisy": name}
        mean, error = _over_trials(result["noisy_accuracy"].sel(at))
        right.errorbar(
            result["sigma"],
            mean,
            yerr=2 * error,
            color=colour,
            label=f"unlearnt, {str(name).replace('b', 'batches of ')}",
        )
        right.plot(
            result["sigma"],
            result["noisy_retrained"].sel(at).mean("trial"),
            color=colour,
            ls="--",
            label="learnt anew",
        )
    right.set(
        title="A hundred records, ε = 0.01", xscale="log", xlabel="noise σ", ylabel="accuracy"
    )
    for ax in (left, middle, right):
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16))
    return figure


def _over_trials(values: xr.DataArray) -> tuple[xr.DataArray, xr.DataArray]:
    """Return the mean and its standard error."""
    return values.mean("trial"), values.std("trial", ddof=1) / np.sqrt(values.count("trial"))


@styled
def draw_forgetting(result: xr.Dataset) -> Figure:
    """Draw the price of the guarantee, and the answers after the removal, with their noise."""
    figure = new_figure("Removing systems from law and noise, under certificate", 11, 4.8)
    left, right = figure.subplots(1, 2)
    epochs = result["removal_epochs"].values
    for epsilon, colour in zip(result["epsilon"].values, SYSTEMS, strict=False):
        price = result["price"].sel(epsilon=epsilon).values
        left.plot(epochs, price, "o-", color=colour, label=f"ε = {epsilon:g}")
    left.axhline(1, color=LIGHT, lw=1, ls=":")
    left.set(
        xlabel="epochs of the removal",
        ylabel="noise, in standard errors",
        yscale="log",
        xticks=_few(epochs),
    )
    left.legend(loc="best")
    error, exact = result["standard_error"].values, result["unconstrained"].sel(way="exact").values
    rows = np.flatnonzero(error > 0)[:_MOST_PARAMETERS]
    right.axvspan(-1, 1, color=LIGHT, alpha=0.2, lw=0)
    for j, (way, (label, colour, mark)) in enumerate(_WAYS.items()):
        shift = (result["unconstrained"].sel(way=way).values - exact)[rows] / error[rows]
        place = np.arange(len(rows)) + 0.15 * (j - 1.5)
        noise = float(result["noise"].sel(way=way))
        right.errorbar(shift, place, xerr=2 * noise, fmt=mark, ms=5, color=colour, label=label)
    right.set(
        xlabel="distance from the exact answer without them, in standard errors",
        yticks=range(len(rows)),
    )
    right.set_yticklabels([readable(str(result["fitted"].values[i])) for i in rows])
    right.invert_yaxis()
    figure.legend(*right.get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure


def _few(numbers: np.ndarray) -> np.ndarray:
    return numbers[:: 1 + (len(numbers) - 1) // 10]
