"""The covariance of the noise: at the start of a study, recovered, and true."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import FuncNorm
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import MaxNLocator

from popinv.charts.style import (
    DIVERGING,
    LIGHT,
    MODEL,
    TRUTH,
    axis_label,
    new_figure,
    squared,
    styled,
)
from popinv.figures.arrangement import NUMBER, Arrangement
from popinv.figures.noise import map_scale
from popinv.figures.noise_statistics import correlation_by_lag
from popinv.inference.result import relative_frobenius_error

_BEFORE, _AFTER, _TRUE = "start", "recovered", "true"
_LOOK: dict[str, dict[str, Any]] = {
    _BEFORE: {"color": LIGHT, "lw": 2.4},
    _AFTER: {"color": MODEL, "lw": 2.4},
    _TRUE: {"color": TRUTH, "ls": "--", "lw": 1.8},
}
_TITLES = {_BEFORE: "Before: the start", _AFTER: "After: recovered", _TRUE: "The truth"}
# Share of the variance down to which a curve is drawn.
_VISIBLE = 0.1
# Colour map for covariances without negative values, up to this share of the largest.
_POSITIVE = "viridis"
_NEGATIVE = 0.01
# Number of letters that fit side by side under half of the figure.
_UPRIGHT = 48


def _root(values: np.ndarray) -> np.ndarray:
    """Return the square root, with the sign of the value."""
    return np.sign(values) * np.sqrt(np.abs(values))


def _square(values: np.ndarray) -> np.ndarray:
    return np.sign(values) * np.square(values)


@styled
def draw_before_and_after(
    start: np.ndarray,
    recovered: np.ndarray,
    true: np.ndarray | None,
    layout: Arrangement,
    distance: np.ndarray | None = None,
    units: str = "1",
) -> Figure:
    """Draw covariances side by side, and as curves below.

    Colours and heights are proportional to the square root of the covariance, as standard
    deviations are. Otherwise a start with a far too large variance would leave the others without
    colour.

    Parameters
    ----------
    start, recovered : ndarray of shape (d_y, d_y)
        Covariance at the start of the study, and the recovered one.
    true : ndarray of shape (d_y, d_y), optional
        The true covariance, if it is known.
    layout : Arrangement
        Layout of the observations.
    distance : ndarray of shape (d_y, d_y), optional
        Distances between sensors, if the noise is stationary over them.
    units : str
        Units of the observations.
    """
    noises = {_BEFORE: start, _AFTER: recovered} | ({} if true is None else {_TRUE: true})
    figure = new_figure("The noise, before and after", 4.2 * len(noises) + 0.8, 7.6)
    top, bottom = figure.subfigures(2, 1, height_ratios=(1.35, 1), hspace=0.03, squeeze=False)[:, 0]
    _heat_maps(top, noises, layout, squared(units))
    if layout.over_time:
        left, right = bottom.subplots(1, 2, squeeze=False)[0]
        _over_time(left, noises, layout)
        _deviations(right, noises, layout, units)
        return figure
    ax = bottom.subplots()
    if distance is None:
        _deviations(ax, noises, layout, units)
    else:
        _over_distance(ax, noises, distance, squared(units))
    return figure


def _heat_maps(
    figure: SubFigure, noises: Mapping[str, np.ndarray], layout: Arrangement, units: str
) -> None:
    scale, label = map_scale(noises[_AFTER], units)
    shown = {name: matrix / scale for name, matrix in noises.items()}
    largest = max(float(np.abs(matrix).max()) for matrix in shown.values())
    lowest = min(float(matrix.min()) for matrix in shown.values())
    signed = lowest < -_NEGATIVE * largest
    norm = FuncNorm((_root, _square), -largest if signed else 0.0, largest)
    colours = DIVERGING if signed else _POSITIVE
    axes = figure.subplots(1, len(shown), sharex=True, sharey=True)
    count = len(noises[_AFTER])
    for ax, (name, matrix) in zip(axes, shown.items(), strict=True):
        image = ax.imshow(
            matrix, cmap=colours, norm=norm, extent=(0.5, count + 0.5, count + 0.5, 0.5)
        )
        ax.set_title(_title(name, noises))
        ax.grid(False)
        _count(ax.xaxis)
    _count(axes[0].yaxis)
    ticks = _ticks(largest)
    ticks = np.union1d(-ticks, ticks) if signed else ticks
    bar = figure.colorbar(image, ax=list(axes), label=label, shrink=0.85, ticks=ticks)
    bar.ax.set_yticklabels([f"{tick:.3g}" for tick in ticks])


def _ticks(largest: float) -> np.ndarray:
    """Return squares of round numbers, from 0 up to the largest covariance."""
    roots = MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]).tick_values(0, np.sqrt(largest))
    return np.square(roots[roots <= np.sqrt(largest) * (1 + 1e-9)])


def _title(name: str, noises: Mapping[str, np.ndarray]) -> str:
    if name == _TRUE or _TRUE not in noises:
        return _TITLES[name]
    error = relative_frobenius_error(noises[name], noises[_TRUE])
    amount = f"{error:.0f} times the truth" if error > 2 else f"{100 * error:.2g} %"
    return f"{_TITLES[name]}, off by {amount}"


def _over_distance(
    ax: Axes, noises: Mapping[str, np.ndarray], distance: np.ndarray, units: str
) -> None:
    upper = np.triu_indices(len(distance), 1)
    order = np.argsort(distance[upper], kind="stable")
    d = distance[upper][order]
    furthest = 0.0
    for name, matrix in noises.items():
        curve = matrix[upper][order]
        ax.plot(d, curve, label=name, **_LOOK[name])
        # A nugget lifts the variance above the curve, so distance zero is drawn separately.
        ax.plot(
            0,
            matrix[0, 0],
            "o",
            ms=8,
            mfc="none" if name == _TRUE else None,
            mew=1.8,
            color=_LOOK[name]["color"],
            clip_on=False,
            zorder=3,
        )
        furthest = max(furthest, float(d[np.abs(curve) > _VISIBLE * matrix[0, 0]].max(initial=0)))
    ax.axhline(0, color="#4D4D4D", lw=0.8)
    _root_scale(ax, max(float(matrix[0, 0]) for matrix in noises.values()))
    ax.set(title="Covariance against distance", xlabel="distance between sensors")
    ax.set_ylabel(axis_label("covariance", units))
    if furthest:
        ax.set_xlim(0, min(furthest, float(d[-1])))
    ax.legend()


def _root_scale(ax: Axes, largest: float) -> None:
    """Scale heights by the square root, from 0 to a little above the largest value."""
    ax.set_yscale("function", functions=(_root, _square))
    ticks = _ticks(largest)
    ax.set_yticks(ticks, [f"{tick:.3g}" for tick in ticks])
    ax.set_ylim(-0.002 * largest, 1.15 * largest)


def _over_time(ax: Axes, noises: Mapping[str, np.ndarray], layout: Arrangement) -> None:
    for name, matrix in noises.items():
        correlation = correlation_by_lag(matrix, layout)
        ax.plot(correlation.x, correlation.recovered, label=name, **_LOOK[name])
    ax.axhline(0, color="#4D4D4D", lw=0.8)
    where = f" at {correlation.title}" if correlation.title else ""
    ax.set(title=f"Autocorrelation{where}", ylabel="correlation")
    ax.set_xlabel(layout.x_label.replace("t, time", "lag in time"))
    ax.legend()


def _count(axis: Axis) -> None:
    axis.set_label_text(NUMBER)
    axis.set_major_locator(MaxNLocator(integer=True))


def _deviations(
    ax: Axes, noises: Mapping[str, np.ndarray], layout: Arrangement, units: str
) -> None:
    number = np.arange(1, 1 + len(noises[_AFTER]))
    for name, matrix in noises.items():
        marker = "_" if name == _TRUE else "o"
        ax.plot(
            number,
            np.sqrt(np.diag(matrix)),
            marker,
            ms=10 if name == _TRUE else 4.5,
            mew=2,
            color=_LOOK[name]["color"],
            label=name,
        )
    ticks = layout.ticks(16)
    if ticks is None:
        _count(ax.xaxis)
    elif max(map(len, ticks[1])) * len(ticks[1]) > _UPRIGHT:
        ax.set_xticks(*ticks, rotation=45, ha="right", rotation_mode="anchor", fontsize=8.5)
    else:
        ax.set_xticks(*ticks)
    values = np.concatenate([np.sqrt(np.diag(matrix)) for matrix in noises.values()])
    if values.max() > 20 * values.min():
        ax.set_yscale("log")
        ax.set_ylim(top=3 * float(values.max()))
    else:
        ax.set_ylim(0, 1.3 * float(values.max()))
    ax.set_title("Standard deviation of the noise")
    ax.set_ylabel(axis_label("standard deviation", units))
    ax.legend(ncols=3)
