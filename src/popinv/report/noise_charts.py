"""Charts of the recovered noise: its covariance as a heat map, and suitable curves."""

from __future__ import annotations

import numpy as np

from popinv.charts.page_chart import Chart
from popinv.charts.plotly_marks import MATRIX
from popinv.charts.plotly_writer import page_figure
from popinv.charts.style import evenly
from popinv.figures.arrangement import Arrangement
from popinv.figures.noise import (
    autocorrelation_panel,
    covariance_panels,
    deviations_panel,
    distance_panel,
    growth_panel,
)
from popinv.figures.noise_statistics import NoiseComparison, NoiseGrowth, autocorrelation
from popinv.inference.result import relative_frobenius_error
from popinv.report.formats import rounded

_RANGE = "The grey range holds the empirical one in 95 of 100 data sets of the fitted model."


def noise_charts(
    noise: NoiseComparison, layout: Arrangement, distance: np.ndarray | None, units: str
) -> list[Chart]:
    """Return the covariance as a heat map, and as suitable curves."""
    charts = [_heat_map(noise, layout, units)]
    if layout.over_time:
        charts.append(_autocorrelation(noise, layout))
    if distance is not None and not layout.over_time:
        charts.append(_against_distance(noise, distance, units))
    else:
        charts.append(_deviations(noise, layout, units))
    if noise.growth is not None:
        charts.append(_growth(noise.growth, units))
    return charts


def _heat_map(noise: NoiseComparison, layout: Arrangement, units: str) -> Chart:
    panels, _ = covariance_panels(noise, layout, units)
    error = relative_frobenius_error(np.nan_to_num(noise.estimate), np.nan_to_num(noise.reference))
    count, cut = len(noise.estimate), ""
    if count > MATRIX:
        cut = f" Every {count // len(evenly(count, MATRIX))}th observation is shown."
    return Chart(
        "noise-covariance",
        "Noise covariance",
        f"Recovered, {noise.reference_name}, and their difference, on one scale. "
        + (
            ""
            if noise.true is not None
            else "The empirical one is the data's covariance less "
            "that of the fitted model without noise; it scatters."
        )
        + cut,
        f"Heat maps of the noise covariance, recovered and {noise.reference_name}; their "
        f"difference is {rounded(float(error), 2)} in relative Frobenius norm.",
        page_figure(panels, 460, choices=True),
        control="select",
        control_label="Show",
        choices=("Recovered", noise.reference_name.capitalize(), "Difference"),
    )


def _against_distance(noise: NoiseComparison, distance: np.ndarray, units: str) -> Chart:
    return Chart(
        "noise-distance",
        "Covariance against distance",
        f"The covariance of the noise at each pair of sensors. {_RANGE}",
        f"Covariance of the noise against the distance between sensors; at one sensor the "
        f"recovered variance is {rounded(float(noise.estimate[0, 0]), 3)}.",
        page_figure([distance_panel(noise, distance, units)], 420),
    )


def _autocorrelation(noise: NoiseComparison, layout: Arrangement) -> Chart:
    curve = autocorrelation(noise, layout)
    where = f" at {curve.title}" if curve.title else ""
    first = f": {rounded(float(curve.recovered[1]), 3)} at the first lag" * (len(curve.x) > 1)
    return Chart(
        "noise-autocorrelation",
        "Autocorrelation of the noise",
        f"The correlation in time{where}. {_RANGE}",
        f"Autocorrelation of the noise{where}{first}.",
        page_figure([autocorrelation_panel(noise, layout)], 420),
    )


def _growth(growth: NoiseGrowth, units: str) -> Chart:
    return Chart(
        "noise-growth",
        "Noise against the signal",
        "The standard deviation of the noise, the root mean square over the observations, against "
        "the noise-free observation.",
        f"Standard deviation of the noise against the signal, from "
        f"{rounded(float(growth.recovered.min()), 3)} to "
        f"{rounded(float(growth.recovered.max()), 3)}.",
        page_figure([growth_panel(growth, units)], 420),
    )


def _deviations(noise: NoiseComparison, layout: Arrangement, units: str) -> Chart:
    estimate = np.sqrt(np.diag(noise.estimate))
    intervals = ", with 95 % intervals" if noise.resampled is not None else ""
    return Chart(
        "noise-deviations",
        "Standard deviation of the noise",
        f"The standard deviation of each observation{intervals}. {_RANGE}",
        f"Standard deviations of the noise, from {rounded(float(estimate.min()), 3)} to "
        f"{rounded(float(estimate.max()), 3)}.",
        page_figure([deviations_panel(noise, layout, units)], 420),
    )
