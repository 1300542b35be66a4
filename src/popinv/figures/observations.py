"""What was observed, beside what the fitted model observes."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from popinv.figures.style import (
    DATA,
    DIVERGING,
    LIGHT,
    MODEL,
    SEQUENTIAL,
    axis_label,
    new_figure,
    styled,
)

__all__ = ["QUANTILES", "draw_observations"]

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_EXAMPLES = 6
_PLACE = "observation_"
# Standard error of the median of N normal numbers, in standard deviations over sqrt(N).
_MEDIAN_ERROR = np.sqrt(np.pi / 2)


@styled
def draw_observations(observations: xr.Dataset, sample: np.ndarray) -> Figure:
    """Draw the push-forward of the fitted model over the observations.

    Parameters
    ----------
    observations : Dataset
        ``y`` (system, observation) and the places of the sensors.
    sample : ndarray of shape (m, d_y)
        Observations of the fitted model, noise included.
    """
    # Sorted, because a store does not keep the order of its coordinates.
    names = sorted(str(n) for n in observations.coords if str(n).startswith(_PLACE))
    if len(names) == 2:
        return _maps(observations, names, sample)
    return _bands(observations, names, sample)


def _bands(observations: xr.Dataset, names: list[str], sample: np.ndarray) -> Figure:
    data = observations["y"]
    if len(names) == 1:
        x, x_label = _place(observations, names[0])
    else:
        x, x_label = np.arange(1.0, data.shape[1] + 1), "number of the observation"
    order = np.argsort(x, kind="stable")
    x, y, sample = x[order], data.values[:, order], sample[:, order]

    figure = new_figure("Observations and the fitted model's push-forward", 10, 7)
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1.2))
    model, observed = (np.quantile(values, QUANTILES, axis=0) for values in (sample, y))
    top.fill_between(x, model[0], model[4], color=MODEL, alpha=0.18, lw=0, label="model, 5–95 %")
    top.fill_between(x, model[1], model[3], color=MODEL, alpha=0.32, lw=0, label="model, 25–75 %")
    top.plot(x, model[2], color=MODEL, label="model, median")
    # Evenly spread over the population, so that the examples are not all of a kind.
    ranked = np.argsort(y.mean(axis=1), kind="stable")
    chosen = ranked[np.linspace(0, len(y) - 1, min(_EXAMPLES, len(y)) + 2).astype(int)[1:-1]]
    for i, row in enumerate(chosen):
        label = f"{len(chosen)} of {len(y)} systems observed" if i == 0 else None
        top.plot(x, y[row], color=LIGHT, lw=0.8, alpha=0.9, label=label)
    for i, marker, size in ((0, "_", 7), (1, ".", 5), (2, "o", 4), (3, ".", 5), (4, "_", 7)):
        label = "data, 5, 25, 50, 75, 95 %" if i == 2 else None
        top.plot(x, observed[i], marker, color=DATA, ms=size, label=label)
    top.set_ylabel(axis_label(data.attrs["long_name"], data.attrs["units"]))
    low, high = min(observed[0].min(), model[0].min()), max(observed[4].max(), model[4].max())
    top.set_ylim(low - 0.15 * (high - low), high + 0.3 * (high - low))
    top.legend(ncols=3, loc="upper center")
    _differences(bottom, x, (observed - model) / y.std(axis=0), len(y))
    bottom.set_xlabel(x_label)
    return figure


def _place(observations: xr.Dataset, name: str) -> tuple[np.ndarray, str]:
    coordinate = observations[name]
    label = f"{name.removeprefix(_PLACE)}, sensor place"
    return coordinate.values, axis_label(label, coordinate.attrs.get("units", "1"))


def _differences(axes: Axes, x: np.ndarray, difference: np.ndarray, count: int) -> None:
    half = 1.96 * _MEDIAN_ERROR / np.sqrt(count)
    label = "95 % sampling range of the median"
    axes.axhspan(-half, half, color=LIGHT, alpha=0.2, lw=0, label=label)
    axes.axhline(0, color=LIGHT, lw=1)
    for i, line in ((0, ":"), (2, "-"), (4, "--")):
        axes.plot(x, difference[i], line, color=DATA, lw=1.2, label=f"{100 * QUANTILES[i]:g} %")
    largest = max(float(np.abs(difference).max()), half)
    axes.set_ylim(-1.2 * largest, 2.2 * largest)
    axes.set_title("Difference of the quantiles, data minus model")
    axes.set_ylabel("standard deviations\nof the data")
    axes.legend(ncols=4, loc="upper center")


def _maps(observations: xr.Dataset, names: list[str], sample: np.ndarray) -> Figure:
    data = observations["y"]
    values, name = data.values, data.attrs["long_name"]
    (x, x_label), (y, y_label) = (_place(observations, n) for n in names)
    figure = new_figure("Observations and the fitted model's push-forward, by sensor", 11, 7.5)
    grid = figure.subplots(2, 3, sharex=True, sharey=True)
    # Differences are judged against the standard error of the data's mean and deviation.
    spread, root = values.std(axis=0), np.sqrt(len(values))
    rows = (
        ("mean", [values.mean(axis=0), sample.mean(axis=0)], spread / root),
        ("standard deviation", [spread, sample.std(axis=0)], spread / root / 2**0.5),
    )
    for axes, (statistic, both, error) in zip(grid, rows, strict=True):
        low, high = np.min(both), np.max(both)
        for ax, value, whose in zip(axes, both, ("data", "model"), strict=False):
            dots = ax.scatter(x, y, c=value, vmin=low, vmax=high, cmap=SEQUENTIAL, s=70)
            ax.set_title(f"{statistic.capitalize()}, {whose}")
        figure.colorbar(dots, ax=list(axes[:2]), label=axis_label(name, data.attrs["units"]))
        difference = (both[0] - both[1]) / error
        largest = max(3.0, float(np.abs(difference).max()))
        dots = axes[2].scatter(
            x, y, c=difference, vmin=-largest, vmax=largest, cmap=DIVERGING, s=70, ec=LIGHT
        )
        axes[2].set_title("Data minus model")
        figure.colorbar(dots, ax=axes[2], label="standard errors")
    for ax in grid.flat:
        ax.set_aspect("equal")
    for ax in grid[-1]:
        ax.set_xlabel(x_label)
    for ax in grid[:, 0]:
        ax.set_ylabel(y_label)
    return figure
