"""The answers of all ways, and the errors of reconstructed observations."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from popinv.figures.style import CHECK, LIGHT, MODEL, ORACLE, new_figure, styled

_WAYS = {"federated": (MODEL, "o"), "pooled": (ORACLE, "D"), "alone": (CHECK, "s")}


@styled
def draw_answers(result: xr.Dataset) -> Figure:
    """Draw each site's answer in each way, with 95 % intervals, about the pooled one."""
    names, sites = result["fitted"].values, result["site"].values
    figure = new_figure(
        "Answers of the sites, from the pooled one of the first site", 2.2 * len(names) + 1.5, 4.5
    )
    axes = figure.subplots(1, len(names), sharey=True, squeeze=False)[0]
    origin = result["unconstrained"].sel(way="pooled").isel(site=0)
    unit = result["standard_error"].sel(way="pooled").isel(site=0)
    for ax, name in zip(axes, names, strict=True):
        error = float(unit.sel(fitted=name))
        for i, (way, (colour, mark)) in enumerate(_WAYS.items()):
            values = result.sel(way=way, fitted=name)
            if error > 0:
                x = (values["unconstrained"] - origin.sel(fitted=name)) / error
                wide = 1.96 * values["standard_error"] / error
                y = np.arange(len(sites)) + 0.22 * (i - 1)
                ax.errorbar(
                    x, y, xerr=wide, fmt=mark, color=colour, label=way, ms=5, capsize=2, lw=1.2
                )
        ax.axvline(0.0, color=LIGHT, lw=0.8, zorder=0)
        ax.set(title=str(name), xlabel="standard errors")
    axes[0].set_yticks(np.arange(len(sites)), sites)
    axes[0].invert_yaxis()
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right center")
    return figure


@styled
def draw_reconstruction(result: xr.Dataset) -> Figure:
    """Draw the error of reconstructed observations by what is behind a message."""
    behind, errors = result["behind"].values, result["reconstruction_error"].values
    figure = new_figure("What an observer of the messages reconstructs", 6.5, 4)
    ax = figure.subplots()
    ax.bar(np.arange(len(behind)), errors, color=MODEL, width=0.6)
    ax.axhline(1.0, color=LIGHT, lw=1.2)
    ax.set_xticks(np.arange(len(behind)), behind)
    ax.set(xlabel="behind the message", ylabel="error over the spread", ylim=(0, None))
    if not len(behind):
        ax.text(0.5, 0.5, "not measured", ha="center", transform=ax.transAxes)
    return figure
