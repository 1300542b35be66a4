"""The recovered noise covariance, with the truth or an empirical estimate."""

from __future__ import annotations

import numpy as np

from popinv.charts.description import Grid, Panel, Parts, Sheet
from popinv.figures.arrangement import Arrangement
from popinv.figures.noise_curves import (
    autocorrelation_panel,
    covariance_panels,
    deviations_panel,
    distance_panel,
)
from popinv.figures.noise_growth import growth_panel
from popinv.figures.noise_statistics import NoiseComparison


def draw_noise_covariance(
    noise: NoiseComparison,
    layout: Arrangement,
    distance: np.ndarray | None = None,
    units: str = "1",
) -> Sheet:
    """Return the covariance as heat maps, and as suitable curves.

    Parameters
    ----------
    layout : Arrangement
        Layout of the observations.
    distance : ndarray of shape (d_y, d_y), optional
        Distances between sensors, if the noise is stationary over them.
    units : str
        Units of the observations.
    """
    maps, scale = covariance_panels(noise, layout, units)
    curves = noise_curves(noise, layout, distance, units)
    top = Grid(maps, 3, share_x=True, share_y=True, scale=scale)
    body = Parts([top, Grid(curves, len(curves))], down=True, shares=(1.15, 1))
    title = f"Noise covariance: recovered and {noise.reference_name}"
    return Sheet(title, 12, 8, body)


def noise_curves(
    noise: NoiseComparison, layout: Arrangement, distance: np.ndarray | None, units: str
) -> list[Panel]:
    """Return the curves of a noise covariance.

    Noise that is stationary over places is shown against distance. Noise over time is shown by its
    autocorrelation at one place and its standard deviations. Other noise is shown by its standard
    deviations, and noise that grows also by its standard deviation against the signal.
    """
    if noise.growth is not None:
        growth = growth_panel(noise.growth, units, "Standard deviation against the signal")
        return [deviations_panel(noise, layout, units), growth]
    if layout.over_time:
        return [autocorrelation_panel(noise, layout), deviations_panel(noise, layout, units)]
    if distance is not None:
        return [distance_panel(noise, distance, units)]
    return [deviations_panel(noise, layout, units)]
