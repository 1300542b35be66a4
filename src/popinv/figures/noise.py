"""The recovered noise covariance, beside the truth or what the data's covariance leaves for it."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from popinv.figures.style import DATA, DIVERGING, MODEL, TRUTH, axis_label, new_figure, styled
from popinv.inference.assessment import relative_frobenius_error

__all__ = ["draw_noise_covariance"]

_BINS = 40
# Share of the variance below which a covariance is zero to the eye.
_VISIBLE = 0.05


@styled
def draw_noise_covariance(
    population: xr.Dataset,
    reference: np.ndarray,
    reference_is_true: bool,
    resampled: np.ndarray | None = None,
    distance: np.ndarray | None = None,
    units: str = "1",
) -> Figure:
    """Draw the covariance as heat maps, and as curves against distance or by sensor.

    Parameters
    ----------
    population : Dataset
        ``noise_covariance``.
    reference : ndarray of shape (d_y, d_y)
        The true covariance; or, where none is known, the data's covariance less that of the
        fitted model without noise.
    reference_is_true : bool
    resampled : ndarray of shape (resamples, d_y, d_y), optional
        Covariances estimated from resampled systems, for intervals.
    distance : ndarray of shape (d_y, d_y), optional
        Between sensors, if the noise is stationary; else variances are drawn by sensor.
    units : str
        Of the observations.
    """
    estimate = population["noise_covariance"].values
    name = "true" if reference_is_true else "empirical"
    figure = new_figure(f"Noise covariance: recovered and {name}", 11, 7.5)
    top, bottom = figure.subfigures(2, 1, height_ratios=(1.1, 1), hspace=0.03, squeeze=False)[:, 0]
    squared = units if units in ("", "1") else f"{units}²"
    axes = top.subplots(1, 3, sharex=True, sharey=True)
    error = relative_frobenius_error(estimate, reference)
    largest = float(max(np.abs(estimate).max(), np.abs(reference).max()))
    panels = (
        ("Recovered", estimate),
        (name.capitalize(), reference),
        (f"Difference, {error:.2g} in relative norm", estimate - reference),
    )
    for ax, (title, matrix) in zip(axes, panels, strict=True):
        count = len(matrix)
        image = ax.imshow(
            matrix,
            cmap=DIVERGING,
            vmin=-largest,
            vmax=largest,
            extent=(0.5, count + 0.5, count + 0.5, 0.5),
        )
        ax.set(title=title, xlabel="number of the sensor")
        ax.grid(False)
    axes[0].set_ylabel("number of the sensor")
    top.colorbar(image, ax=list(axes), label=axis_label("covariance", squared), shrink=0.85)

    half = None if resampled is None else 1.96 * resampled.std(axis=0, ddof=1)
    ax = bottom.subplots()
    if distance is not None:
        _against_distance(ax, distance, estimate, reference, reference_is_true, half)
        ax.set(title="Covariance against distance", xlabel="distance between sensors")
        ax.set_ylabel(axis_label("covariance", squared))
    else:
        _by_sensor(ax, estimate, reference, name, half)
        ax.set(title="Variance of the noise at each sensor", xlabel="number of the sensor")
        ax.set_ylabel(axis_label("variance", squared))
    ax.legend()
    return figure


def _against_distance(
    ax: Axes,
    distance: np.ndarray,
    estimate: np.ndarray,
    reference: np.ndarray,
    reference_is_true: bool,
    half: np.ndarray | None,
) -> None:
    upper = np.triu_indices(len(distance), 1)
    d = distance[upper]
    order = np.argsort(d, kind="stable")
    d = d[order]

    def pairs(matrix: np.ndarray) -> np.ndarray:
        return matrix[upper][order]

    if half is not None:
        low, high = pairs(estimate) - pairs(half), pairs(estimate) + pairs(half)
        ax.fill_between(d, low, high, color=MODEL, alpha=0.2, lw=0, label="95 % interval")
    ax.plot(d, pairs(estimate), color=MODEL, label="recovered")
    # A nugget lifts the variance above the curve, so distance zero is drawn apart.
    ax.plot(0, estimate[0, 0], "o", color=MODEL, clip_on=False, zorder=3)
    if reference_is_true:
        ax.plot(d, pairs(reference), color=TRUTH, ls="--", label="true")
        ax.plot(0, reference[0, 0], "o", mfc="none", mew=1.8, ms=9, color=TRUTH, clip_on=False)
    else:
        groups = [g for g in np.array_split(np.arange(len(d)), _BINS) if len(g)]
        centres = [float(d[g].mean()) for g in groups]
        means = [float(pairs(reference)[g].mean()) for g in groups]
        ax.plot(centres, means, "s", color=DATA, ms=5, label="empirical, mean of many pairs")
        ax.plot(0, np.diag(reference).mean(), "s", color=DATA, ms=5, clip_on=False)
    ax.axhline(0, color="#4D4D4D", lw=0.8)
    # Beyond a few lengths all is zero, and the plot would be mostly that.
    curves = [estimate, reference] if reference_is_true else [estimate]
    far = max(d[np.abs(pairs(c)) > _VISIBLE * c[0, 0]].max(initial=0) for c in curves)
    furthest = d[-1] if len(d) else 1.0
    ax.set_xlim(0, min(1.02 * furthest, 2 * far) if far else furthest)


def _by_sensor(
    ax: Axes, estimate: np.ndarray, reference: np.ndarray, name: str, half: np.ndarray | None
) -> None:
    sensor = np.arange(1, len(estimate) + 1)
    error = None if half is None else np.diag(half)
    label = "recovered" if half is None else "recovered, 95 % interval"
    ax.errorbar(sensor, np.diag(estimate), error, fmt="o", ms=5, lw=1.2, color=MODEL, label=label)
    if name == "true":
        ax.plot(sensor, np.diag(reference), "_", color=TRUTH, ms=10, mew=2, label=name)
    else:
        ax.plot(sensor, np.diag(reference), "s", mfc="none", color=DATA, ms=5, label=name)
    ax.set_ylim(bottom=min(0.0, ax.get_ylim()[0]))
