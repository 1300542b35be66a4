"""Single systems: intervals of their parameters beside the population, and the truth."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from popinv.figures.style import LIGHT, MODEL, TRUTH, new_figure, readable, styled

__all__ = ["draw_systems"]

_MOST_PARAMETERS, _MOST_SYSTEMS = 6, 60


@styled
def draw_systems(found: xr.Dataset, population: np.ndarray, truth: np.ndarray | None) -> Figure:
    """Draw the 95 % intervals of the first systems, sorted, parameter by parameter.

    Parameters
    ----------
    found : Dataset
        ``mean``, ``lower`` and ``upper`` (system, parameter).
    population : ndarray of shape (m, d_z)
        Draws of the recovered law, whose central 95 % are shaded.
    truth : ndarray of shape (N, d_z) or None
        The systems' own parameters.
    """
    names = [str(name) for name in found["parameter"].values][:_MOST_PARAMETERS]
    count = min(_MOST_SYSTEMS, found.sizes["system"])
    figure = new_figure(
        "Parameters of single systems, given their observations", 9, 0.6 + 2.3 * len(names)
    )
    for index, (ax, name) in enumerate(
        zip(np.atleast_1d(figure.subplots(len(names), 1)), names, strict=True)
    ):
        low, high = np.quantile(population[:, index], [0.025, 0.975])
        ax.axhspan(low, high, color=LIGHT, alpha=0.2, lw=0, label="population, central 95 %")
        mean = found["mean"].values[:count, index]
        order, place = np.argsort(mean), np.arange(count)
        ends = [found[end].values[:count, index][order] for end in ("lower", "upper")]
        ax.vlines(place, *ends, color=MODEL, lw=1.6, label="system, 95 % interval")
        ax.plot(place, mean[order], "o", color=MODEL, ms=3, label="mean")
        if truth is not None:
            ax.plot(
                place, truth[:count, index][order], "_", color=TRUTH, ms=8, mew=1.6, label="truth"
            )
        ax.set(title=readable(name), xlabel="systems, by their mean")
    figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure
