"""The recovered noise covariance, with the truth or an empirical estimate."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from popinv.figures.arrangement import NUMBER, Arrangement
from popinv.figures.noise_curves import (
    draw_against_distance,
    draw_autocorrelation,
    draw_deviations,
)
from popinv.figures.noise_growth import draw_growth
from popinv.figures.noise_statistics import (
    NoiseComparison,
    against_distance,
    autocorrelation,
    deviations,
)
from popinv.figures.style import DIVERGING, LIGHT, axis_label, new_figure, squared, styled
from popinv.inference.accuracy import relative_frobenius_error

# If standard deviations differ by more than this factor, a covariance map would be blank except
# for the largest.
_UNEQUAL = 5.0
_TICKS = 16


@styled
def draw_noise_covariance(
    noise: NoiseComparison,
    layout: Arrangement,
    distance: np.ndarray | None = None,
    units: str = "1",
) -> Figure:
    """Draw the covariance as heat maps, and as suitable curves.

    Noise that is stationary over places is drawn against distance. Noise over time is drawn by its
    autocorrelation at one place and its standard deviations. Other noise is drawn by its standard
    deviations, and noise that grows also by its standard deviation against the signal.

    Parameters
    ----------
    layout : Arrangement
        Layout of the observations.
    distance : ndarray of shape (d_y, d_y), optional
        Distances between sensors, if the noise is stationary over them.
    units : str
        Units of the observations.
    """
    name = noise.reference_name
    title = f"Noise covariance: recovered and {name}"
    figure = new_figure(title, 12, 8)
    top, bottom = figure.subfigures(2, 1, height_ratios=(1.15, 1), hspace=0.03, squeeze=False)[:, 0]
    _heat_maps(top, noise, layout, squared(units))
    if noise.growth is not None:
        left, right = bottom.subplots(1, 2, squeeze=False)[0]
        _deviations(left, noise, layout, units)
        draw_growth(right, noise.growth)
        right.set(title="Standard deviation against the signal")
        right.set_xlabel(axis_label("noise-free observation", units))
        right.set_ylabel(axis_label("standard deviation", units))
        return figure
    if layout.over_time:
        left, right = bottom.subplots(1, 2, squeeze=False)[0]
        draw_autocorrelation(left, autocorrelation(noise, layout), layout.x_label)
        _deviations(right, noise, layout, units)
        return figure
    ax = bottom.subplots()
    if distance is not None:
        draw_against_distance(ax, noise, against_distance(noise, distance))
        ax.set(title="Covariance against distance", xlabel="distance between sensors")
        ax.set_ylabel(axis_label("covariance", squared(units)))
        ax.legend()
    else:
        _deviations(ax, noise, layout, units)
    return figure


def _deviations(ax: Axes, noise: NoiseComparison, layout: Arrangement, units: str) -> None:
    draw_deviations(ax, deviations(noise))
    ax.set_title("Standard deviation of the noise")
    ax.set_ylabel(axis_label("standard deviation", units))
    _label_observations(ax, layout, vertical=False)


def map_scale(recovered: np.ndarray, units: str) -> tuple[np.ndarray | float, str]:
    """Return the divisor of covariances in a heat map, and the name of the quotient.

    Entries of quantities of different sizes are divided by the recovered deviations of the two.
    """
    deviation = np.sqrt(np.diag(recovered))
    if deviation.max() > _UNEQUAL * deviation.min():
        scale = np.outer(deviation, deviation)
        return scale, "covariance, in the recovered\nstandard deviations"
    return 1.0, axis_label("covariance", units)


def _heat_maps(figure: SubFigure, noise: NoiseComparison, layout: Arrangement, units: str) -> None:
    scale, label = map_scale(noise.estimate, units)
    estimate, reference = noise.estimate / scale, noise.reference / scale
    # Two observations that were never observed together have no empirical covariance.
    seen = ~np.isnan(reference)
    apart = "no two were observed together"
    if seen.any():
        error = relative_frobenius_error(estimate[seen], reference[seen])
        apart = f"{error:.2g} in relative norm"
    largest = float(max(np.abs(estimate).max(), np.abs(reference[seen]).max(initial=0.0)))
    panels = (
        ("Recovered", estimate),
        (noise.reference_name.capitalize(), reference),
        (f"Difference, {apart}", estimate - reference),
    )
    count = len(estimate)
    axes = figure.subplots(1, 3, sharex=True, sharey=True)
    for ax, (title, matrix) in zip(axes, panels, strict=True):
        image = ax.imshow(
            matrix,
            cmap=DIVERGING,
            vmin=-largest,
            vmax=largest,
            extent=(0.5, count + 0.5, count + 0.5, 0.5),
        )
        ax.set_title(title)
        ax.grid(False)
        _label_observations(ax, layout, vertical=False)
        for edge in _edges(layout):
            ax.axhline(edge, color=LIGHT, lw=0.5)
            ax.axvline(edge, color=LIGHT, lw=0.5)
    _label_observations(axes[0], layout, vertical=True)
    figure.colorbar(image, ax=list(axes), label=label, shrink=0.85)


def _edges(layout: Arrangement) -> list[float]:
    """Return the positions between the observations of neighbouring curves."""
    if not 1 < len(layout.panels) <= _TICKS:
        return []
    ends = [float(panel.rows.max()) + 1.5 for panel in layout.panels]
    whole = all(np.ptp(panel.rows) == len(panel.rows) - 1 for panel in layout.panels)
    return sorted(ends)[:-1] if whole else []


def _label_observations(ax: Axes, layout: Arrangement, vertical: bool) -> None:
    """Label the observations on an axis by name, by curve, or by number."""
    ticks = layout.ticks(_TICKS)
    axis = ax.yaxis if vertical else ax.xaxis
    if ticks is None:
        axis.set_label_text(NUMBER)
        return
    places, names = ticks
    axis.set_ticks(places, names)
    if not vertical and max(map(len, names)) * len(names) > 24:
        for text in ax.get_xticklabels():
            text.set(rotation=45, ha="right", rotation_mode="anchor", fontsize=8.5)
    if vertical:
        ax.tick_params(axis="y", labelsize=8.5)
