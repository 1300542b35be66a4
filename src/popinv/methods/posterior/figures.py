"""Single systems: intervals of their parameters beside the population, and the truth."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from popinv.figures.style import LIGHT, MODEL, TRUTH, new_figure, note, readable, styled
from popinv.methods.posterior.study import varying

_MOST_PARAMETERS, _MOST_SYSTEMS = 6, 60


@styled
def draw_systems(posterior: xr.Dataset, population: np.ndarray, truth: np.ndarray | None) -> Figure:
    """Draw the 95 % intervals of the first systems, sorted, parameter by parameter.

    Parameters that all systems share are left out. The population (m, k) is what is told of draws
    of the recovered law, whose central 95 % are shaded, and the truth (N, k) what is told of the
    systems' own parameters.
    """
    chosen = np.flatnonzero(varying(population))[:_MOST_PARAMETERS]
    names = [str(posterior["parameter"].values[index]) for index in chosen]
    count = min(_MOST_SYSTEMS, posterior.sizes["system"])
    figure = new_figure(
        "Parameters of single systems, given their observations", 9, 0.6 + 2.3 * len(names)
    )
    axes = np.atleast_1d(figure.subplots(len(names), 1))
    for index, ax, name in zip(chosen, axes, names, strict=True):
        low, high = np.quantile(population[:, index], [0.025, 0.975])
        ax.axhspan(low, high, color=LIGHT, alpha=0.2, lw=0, label="population, central 95 %")
        mean = posterior["mean"].values[:count, index]
        order, place = np.argsort(mean), np.arange(count)
        ends = [posterior[end].values[:count, index][order] for end in ("lower", "upper")]
        ax.vlines(place, *ends, color=MODEL, lw=1.6, label="system, 95 % interval")
        ax.plot(place, mean[order], "o", color=MODEL, ms=3, label="mean")
        if truth is not None:
            ax.plot(
                place, truth[:count, index][order], "_", color=TRUTH, ms=8, mew=1.6, label="truth"
            )
        ax.set(title=readable(name), xlabel="systems, by their mean")
    figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure


@styled
def draw_calibration(posterior: xr.Dataset, population: np.ndarray) -> Figure:
    """Draw the coverage of central intervals of every level, and the effective draws.

    The bands hold 95 % of what chance does to that many systems, level by level.
    """
    own = np.flatnonzero(varying(population))
    figure = new_figure("Are the posteriors calibrated, and did the chains mix?", 10, 4.6)
    left, right = figure.subplots(1, 2)
    left.set(
        title="Intervals and the truth",
        xlabel="level of the interval",
        ylabel="share that holds the truth, minus level",
    )
    if "rank" in posterior:
        level, count = np.linspace(0.02, 0.98, 49), posterior.sizes["system"]
        chance = 1.96 * np.sqrt(level * (1 - level) / count)
        left.fill_between(level, -chance, chance, color=LIGHT, alpha=0.2, lw=0, label="chance")
        for index in own[:_MOST_PARAMETERS]:
            off = np.abs(posterior["rank"].values[:, index] - 0.5)
            held = (off[:, None] <= level / 2).mean(axis=0)
            left.plot(
                level,
                held - level,
                lw=1.4,
                label=readable(str(posterior["parameter"].values[index])),
            )
        left.axhline(0, color=TRUTH, ls="--", lw=1)
        left.legend(fontsize=8)
    else:
        note(left, "no truth to compare with")
    for index in own[:_MOST_PARAMETERS]:
        ordered = np.sort(posterior["effective"].values[:, index])
        share = (np.arange(len(ordered)) + 1) / len(ordered)
        right.plot(
            ordered, share, lw=1.4, label=readable(str(posterior["parameter"].values[index]))
        )
    right.set(
        title="Effective sample sizes",
        xlim=(0, None),
        xlabel="independent draws",
        ylabel="share of the systems with fewer",
    )
    right.legend(fontsize=8)
    return figure
