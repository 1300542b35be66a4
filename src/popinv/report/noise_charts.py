"""Charts of the recovered noise: its covariance as a heat map, and suitable curves."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from popinv.charts.description import Panel
from popinv.charts.page_chart import Chart
from popinv.charts.plotly_marks import MATRIX
from popinv.charts.plotly_writer import page_figure, page_grid
from popinv.charts.style import evenly
from popinv.figures.arrangement import Arrangement
from popinv.figures.intrinsic import VarianceParts, variance_panels
from popinv.figures.noise import (
    autocorrelation_panel,
    covariance_panels,
    deviations_panel,
    distance_panel,
    growth_panel,
)
from popinv.figures.noise_statistics import (
    NoiseComparison,
    NoiseGrowth,
    autocorrelation,
    deviations,
)
from popinv.inference.answer.result import relative_frobenius_error
from popinv.report.formats import rounded


def noise_charts(
    noise: NoiseComparison,
    layout: Arrangement,
    distance: np.ndarray | None,
    units: str,
    systems: str = "the systems",
) -> list[Chart]:
    """Return the covariance as a heat map unless it is diagonal, and suitable curves together.

    The table of parameters holds standard deviations that neither vary nor have empirical values.
    ``systems`` are those of the empirical values, in words.
    """
    correlated = np.count_nonzero(noise.estimate) > len(noise.estimate)
    parts: list[tuple[Panel, str]] = []
    if layout.over_time and (correlated or len(autocorrelation(noise, layout).places) > 1):
        parts.append(_autocorrelation(noise, layout))
    if distance is not None and not layout.over_time:
        parts.append(_against_distance(noise, distance, units))
    elif (
        2 * len(deviations(noise).places) >= len(noise.estimate)
        or np.ptp(np.diag(noise.estimate)) > 0
    ):
        parts.append(_deviations(noise, layout, units))
    empirical = bool(parts)
    if noise.growth is not None:
        parts.append(_growth(noise.growth, units))
    if not parts:
        return [_heat_map(noise, layout, units)] if correlated else []
    told = " ".join(words for _, words in parts)
    panels = [replace(panel, legend=None) for panel, _ in parts]
    curves = Chart(
        "noise-curves",
        "Noise",
        f"Squares: the covariance of the observations over {systems}, minus that of the fitted "
        "model without noise. It is often a small difference of two large numbers, and all squares "
        "come from the same systems, so that they may lie off the line together. The grey range "
        "holds a square in 95 of 100 data sets of the fitted model. Many systems make it narrow, "
        "and then a small error of the law's shape or of the surrogate moves squares out of it."
        if empirical
        else "",
        told,
        page_grid(panels, 1, max(420, 300 * len(panels))),
        wide=not correlated,
    )
    return [_heat_map(noise, layout, units), curves] if correlated else [curves]


def intrinsic_charts(parts: VarianceParts | None, names: list[str], units: str) -> list[Chart]:
    """Return what spreads the observations of a study of a random simulator."""
    if parts is None:
        return []
    panels = [replace(panel, legend=None) for panel in variance_panels(parts, names, units)]
    about = (
        "The simulator has another answer in each run. Its intrinsic variation is learned from "
        "solves, and told apart from the noise of the measurement."
    )
    if len(parts.learned):
        about += " Repeated solves of some systems measure it without a model."
    return [
        Chart(
            "intrinsic-variation",
            "What spreads the observations",
            about,
            f"Mean shares of the variance of the observations: {parts.told}.",
            page_grid(panels, 1, 330 * len(panels)),
            wide=True,
        )
    ]


def discrepancy_charts(panel: Panel | None, words: str) -> list[Chart]:
    """Return the error of the simulator, if the noise has one, and what is told of it."""
    if panel is None:
        return []
    return [
        Chart(
            "discrepancy",
            "Error of the simulator",
            "The same in all systems. The grey band holds all values at once in 95 % of cases. "
            + words,
            f"Values of the error with intervals and a joint band. {words}",
            page_grid([replace(panel, legend=None)], 1, 420),
            wide=True,
        )
    ]


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
            else "The empirical covariance is the data's covariance minus "
            "the covariance of the fitted model without noise; it scatters."
        )
        + cut,
        f"Heat maps of the noise covariance, recovered and {noise.reference_name}; their "
        f"difference is {rounded(float(error), 2)} in relative Frobenius norm.",
        page_figure(panels, 460, choices=True),
        control="select",
        control_label="Show",
        choices=("Recovered", noise.reference_name.capitalize(), "Difference"),
    )


def _against_distance(
    noise: NoiseComparison, distance: np.ndarray, units: str
) -> tuple[Panel, str]:
    return distance_panel(noise, distance, units), (
        f"Covariance of the noise against the distance between sensors; at one sensor the "
        f"recovered variance is {rounded(float(noise.estimate[0, 0]), 3)}."
    )


def _autocorrelation(noise: NoiseComparison, layout: Arrangement) -> tuple[Panel, str]:
    curve = autocorrelation(noise, layout)
    where = f" at {curve.title}" if curve.title else ""
    first = f": {rounded(float(curve.recovered[1]), 3)} at the first lag" * (len(curve.x) > 1)
    return autocorrelation_panel(noise, layout), f"Autocorrelation of the noise{where}{first}."


def _growth(growth: NoiseGrowth, units: str) -> tuple[Panel, str]:
    return growth_panel(growth, units, "Standard deviation against the signal"), (
        f"Standard deviation of the noise against the signal, from "
        f"{rounded(float(growth.recovered.min()), 3)} to "
        f"{rounded(float(growth.recovered.max()), 3)}."
    )


def _deviations(noise: NoiseComparison, layout: Arrangement, units: str) -> tuple[Panel, str]:
    estimate = np.sqrt(np.diag(noise.estimate))
    return deviations_panel(noise, layout, units), (
        f"Standard deviations of the noise, from {rounded(float(estimate.min()), 3)} to "
        f"{rounded(float(estimate.max()), 3)}."
    )
