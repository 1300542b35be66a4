"""Scaling laws of gradient and sign descent: collapse, the map of who wins, curves on text."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from popinv.charts.style import CHECK, DIVERGING, MODEL, ORACLE, TRUTH, new_figure, styled

_COLOURS = {"gradient": MODEL, "sign": ORACLE, "adam": CHECK}


@styled
def draw_collapse(result: xr.Dataset) -> Figure:
    """Draw relative losses against scaled time for every exponent and size, with their limits."""
    exponents = np.unique(result["collapse_exponent"].values)
    sizes = np.unique(result["collapse_size"].values)
    figure = new_figure("Relative loss in scaled time", 3.2 * len(exponents), 6.4)
    axes = figure.subplots(2, len(exponents), sharey="row", squeeze=False)
    for row, method in enumerate(("gradient", "sign")):
        for ax, exponent in zip(axes[row], exponents, strict=True):
            chosen = (
                (result["collapse_method"] == row) & (result["collapse_exponent"] == exponent)
            ).values
            part = result.isel(collapse_point=np.flatnonzero(chosen))
            for shade, size in zip(np.linspace(0.75, 0.1, len(sizes)), sizes, strict=True):
                here = part["collapse_size"].values == size
                ax.plot(
                    part["collapse_tau"].values[here],
                    part["collapse_relative_loss"].values[here],
                    "o-",
                    ms=3,
                    lw=1.2,
                    color=str(shade),
                    label=f"{size:.0e} symbols",
                )
            here = part["collapse_size"].values == sizes[-1]
            limit = part["collapse_limit"].values[here]
            tau = part["collapse_tau"].values[here]
            ax.plot(tau, limit, color=TRUTH, ls="--", lw=1.8, label="limit")
            ax.set(title=f"{method} descent, exponent {exponent:g}", xlabel="scaled time")
            if tau.max() > 50:
                ax.set(xscale="log", yscale="log")
        axes[row, 0].set_ylabel("relative loss")
    figure.legend(
        *axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=len(sizes) + 1
    )
    return figure


@styled
def draw_map(result: xr.Dataset) -> Figure:
    """Draw who wins, by how much: gradient over sign descent's steps, one panel per accuracy."""
    targets = result["target"].values
    exponents = [f"{a:g}" for a in result["map_exponent"].values]
    sizes = [f"{d:.0e}".replace("e+0", "e") for d in result["map_size"].values.astype(float)]
    ratio = result["steps_gradient"] / np.maximum(1, result["steps_sign"])
    largest = float(np.abs(np.log10(ratio)).max())
    figure = new_figure("Steps of gradient descent over those of sign descent", 14, 6.4)
    axes = np.atleast_1d(figure.subplots(1, len(targets), sharey=True))
    for ax, target in zip(axes, targets, strict=True):
        values = ratio.sel(target=target).values
        image = ax.pcolormesh(np.log10(values), cmap=DIVERGING, vmin=-largest, vmax=largest)
        for row, column in np.ndindex(values.shape):
            shade = "white" if abs(np.log10(values[row, column])) > 0.7 * largest else "black"
            value = values[row, column]
            text = f"{value:.2g}" if value < 100 else f"{value:.0f}"
            ax.text(column + 0.5, row + 0.5, text, ha="center", va="center", color=shade)
        ax.set(title=f"to {target:g} of the loss", xlabel="symbols of the vocabulary")
        ax.set_xticks(np.arange(len(sizes)) + 0.5, sizes)
        ax.set_yticks(np.arange(len(exponents)) + 0.5, exponents)
    axes[0].set_ylabel("exponent of Zipf's law")
    label = "logarithm to base 10 (below 0: gradient descent wins)"
    figure.colorbar(image, ax=list(axes), label=label)
    return figure


@styled
def draw_curves(curves: xr.Dataset, title: str) -> Figure:
    """Draw measured and predicted curves, one panel for each vocabulary where there are several."""
    panels = (
        [(f"{v} tokens", curves.sel(vocabulary=v)) for v in curves["vocabulary"].values]
        if "vocabulary" in curves.dims
        else [("", curves)]
    )
    figure = new_figure(title, 4.6 * len(panels) + 1, 4.8)
    axes = np.atleast_1d(figure.subplots(1, len(panels), sharey=True))
    for ax, (name, part) in zip(axes, panels, strict=True):
        _curves(ax, part)
        ax.set(title=name, xlabel="steps (sign descent and Adam: the horizon)")
    axes[0].set_ylabel("relative loss")
    axes[0].legend(loc="lower left")
    return figure


def _curves(ax: Axes, curves: xr.Dataset) -> None:
    horizons = curves["horizon"].values
    for name, label in (
        ("gradient", "gradient descent"),
        ("sign", "sign descent"),
        ("adam", "Adam"),
    ):
        ax.plot(horizons, curves[name].values, "o-", ms=4, color=_COLOURS[name], label=label)
    for name in ("gradient", "sign"):
        ax.plot(
            horizons,
            curves[f"predicted_{name}"].values,
            ls="--",
            color=_COLOURS[name],
            lw=1.4,
            label=f"{name}, power law",
        )
    ax.set(xscale="log", yscale="log", ylim=(1e-4, 1.2))
